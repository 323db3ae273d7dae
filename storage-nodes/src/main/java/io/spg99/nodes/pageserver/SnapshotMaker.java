package io.spg99.nodes.pageserver;

import io.spg99.storage.snapshot.Manifest;
import java.io.IOException;
import java.util.Optional;

/** Port: what a Pageserver's actors have done for them. All methods block; an interrupt ends them soon. */
public interface SnapshotMaker {

    /**
     * What there is of a timeline.
     *
     * @param newest      may be an older one if no checkpoint followed it; empty if there is none at all
     * @param storedBytes what object storage holds of the timeline, archived WAL included
     */
    record Result(Optional<Manifest> newest, long storedBytes) {}

    /**
     * Makes a snapshot at the newest checkpoint of the writers up to {@code job.end()}, and puts what can be put in order on the
     * way: the WAL's archive, old snapshots.
     */
    Result advance(RedoJob job) throws IOException;
}
