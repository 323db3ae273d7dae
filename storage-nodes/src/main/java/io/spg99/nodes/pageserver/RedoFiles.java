package io.spg99.nodes.pageserver;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.readthrough.ReadThrough;
import io.spg99.storage.readthrough.ReadThroughLibrary;
import io.spg99.storage.readthrough.ReadThroughSettings;
import io.spg99.storage.snapshot.DataDirectory;
import io.spg99.storage.snapshot.SnapshotBlocks;
import io.spg99.storage.snapshot.SnapshotReader;
import io.spg99.storage.snapshot.SoftBasebackup;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executor;

/**
 * The data directory of one run of redo, holding a snapshot: read through the same library as a compute's, or whole where that
 * was not built.
 *
 * @param untouched its content before the run
 */
record RedoFiles(
        Path pgdata,
        DataDirectory.Content untouched,
        Optional<ReadThrough> through,
        Map<String, String> environment,
        Optional<Path> shared)
        implements AutoCloseable {

    /**
     * Blocks for as long as it takes to write what PostgreSQL must have to start, or everything.
     *
     * @param pgdata a copy of the base image that was not used since
     * @param image  the base image's files
     */
    static RedoFiles lay(
            SnapshotReader snapshot,
            Path pgdata,
            Path image,
            OsUser user,
            Optional<ReadThroughLibrary> library,
            RedoDirectories directories,
            ReadThroughSettings settings,
            Executor blocking)
            throws IOException {
        DataDirectory directory = new DataDirectory(pgdata);
        DataDirectory.Content content = new DataDirectory(image).content();
        if (library.isEmpty()) {
            directory.hydrate(snapshot, content, user);
            return new RedoFiles(pgdata, directory.content(), Optional.empty(), Map.of(), Optional.empty());
        }
        TimelineId timeline = snapshot.manifest().timeline();
        Path shared = directories.makeShared(timeline, user);
        try {
            SoftBasebackup laid = SoftBasebackup.lay(snapshot, pgdata, content, user);
            ReadThrough agent = ReadThrough.create(
                    pgdata, shared, user, laid.sizes(), new SnapshotBlocks(snapshot, blocking), settings);
            laid.tell(agent);
            return new RedoFiles(
                    pgdata,
                    directory.content(),
                    Optional.of(agent),
                    library.get().environment(shared),
                    Optional.of(shared));
        } catch (IOException | RuntimeException e) {
            FileTree.delete(shared);
            throw e;
        }
    }

    /** Ends the agent. The directory stays. */
    @Override
    public void close() throws IOException {
        through.ifPresent(ReadThrough::close);
        if (shared.isPresent()) {
            FileTree.delete(shared.get());
        }
    }
}
