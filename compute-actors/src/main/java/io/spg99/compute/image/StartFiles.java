package io.spg99.compute.image;

import io.spg99.storage.postgres.PgWalDirectory;
import io.spg99.storage.readthrough.ReadThroughFigures;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/** Port: where a generation's files come from. */
public interface StartFiles {

    /**
     * Makes {@code directory}, which must not exist, hold what all timelines with this base image have in common, belonging to
     * the user PostgreSQL runs as, without WAL. Blocks.
     *
     * @param image key of the base image
     */
    void layOut(String image, Path directory) throws IOException;

    /** What a server that is started over a directory that was laid out must have in its environment. Blocks. */
    Map<String, String> environment(Path directory) throws IOException;

    /**
     * Makes {@code pgdata}, which was {@linkplain #layOut laid out} and is not used yet, hold the newest complete state of the
     * timeline (all there is in object storage is in every later generation's history), or enough of it for a server with
     * the {@link #environment} that this directory was laid out for. Blocks.
     *
     * @param image      key of the timeline's base image
     * @param cacheLimit bytes of what is read through that may be local before something is given back
     * @return the end of the snapshot, or of the image if that is all there is
     */
    Lsn materialize(String image, TimelineBase base, int generation, long cacheLimit, Path pgdata) throws IOException;

    /**
     * Brings to {@code pgdata}, which was materialized, what PostgreSQL does not write to the WAL and the last writer left at an
     * orderly stop: cumulative statistics, free space maps. Nothing if generation {@code parent} did not end in order at
     * exactly {@code end}. Blocks.
     */
    void inherit(TimelineBase base, int parent, Lsn end, Path pgdata) throws IOException;

    /**
     * All WAL is there that a server over {@code pgdata}, which was materialized, is going to replay, from {@code redo} on. Does not
     * block.
     */
    void foresee(PgWalDirectory wal, Lsn redo, Path pgdata);

    /** The server over {@code pgdata} serves. Does not block. */
    void serving(Path pgdata);

    /**
     * What is read through is read from the newest snapshot, as soon as no transaction runs any more that did when that was heard of;
     * what the server has changed is given back then where the snapshot has it and space is needed. To be called now and then while
     * the server over {@code pgdata} serves. Blocks.
     *
     * @param published end of the newest snapshot heard of
     */
    void advance(Path pgdata, Lsn published, RunningTransactions running) throws IOException;

    /** A candidate will start beside the server over {@code pgdata}: what that has hot is put down for it. Does not block. */
    void share(Path pgdata);

    /** The server over {@code pgdata} follows a writer: what that has hot is fetched. Does not block. */
    void following(Path pgdata);

    /** What the cache of {@code pgdata} has done; empty if nothing of it is read through. */
    Optional<ReadThroughFigures> cache(Path pgdata);

    /** Keeps that of a writer that has shut down in order, and whose WAL ends with its shutdown checkpoint. Blocks. */
    void bequeath(TimelineBase base, Path pgdata) throws IOException;

    /**
     * Takes back what {@link #layOut} made, for good: afterwards {@code pgdata} does not exist, nor does anything that a
     * generation wrote there. Nothing uses it any more. Blocks.
     */
    void discard(String image, Path pgdata) throws IOException;

    /**
     * As {@link #discard} for a directory of which nothing is known but that it was laid out, perhaps by an earlier run of the
     * program: removes it, and what belongs to it elsewhere. Blocks.
     */
    void remove(Path directory) throws IOException;
}
