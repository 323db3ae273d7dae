package io.spg99.nodes.pageserver;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.socket.UnixSocket;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** Where redo workers run: of each timeline one at a time, and nothing is left of it afterwards. */
record RedoDirectories(Path root) {

    /** Removes what an earlier run of the program left in {@code root}: processes and files. Blocks. */
    static RedoDirectories open(Path root, OsUser user) throws IOException {
        Path directory = root.toAbsolutePath();
        if (Files.isDirectory(directory)) {
            try (Stream<Path> left = Files.list(directory)) {
                for (Path path : left.toList()) {
                    PostgresProcess.removeRemains(path);
                    FileTree.delete(path);
                }
            }
        } else {
            Files.createDirectories(directory);
        }
        if (!user.canReach(directory)) {
            throw new IOException("PostgreSQL's user cannot reach the Pageserver's directory: user=" + user.name()
                    + " directory=" + directory);
        }
        return new RedoDirectories(directory.toRealPath());
    }

    Path pgdata(TimelineId timeline) {
        return root.resolve(timeline.value());
    }

    /** Where its WAL is put as long as it is not certain that there will be a run. */
    Path wal(TimelineId timeline) {
        return root.resolve(timeline.value() + ".wal");
    }

    /** Name for a temporary file of that timeline's run. */
    Path scratch(TimelineId timeline) {
        return root.resolve(timeline.value() + ".layer");
    }

    /** Makes a directory for presence map and socket; in /tmp if the path is too long for a socket's name. */
    Path makeShared(TimelineId timeline, OsUser user) throws IOException {
        Path shared = root.resolve(timeline.value() + ".through");
        return UnixSocket.fits(shared.resolve("socket"))
                ? user.createPrivateDirectory(shared)
                : user.createShortPrivateDirectory();
    }
}
