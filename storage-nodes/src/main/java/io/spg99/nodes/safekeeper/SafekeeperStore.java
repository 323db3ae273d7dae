package io.spg99.nodes.safekeeper;

import io.spg99.nodes.safekeeper.log.FileWalDisk;
import io.spg99.nodes.safekeeper.log.SpareSegments;
import io.spg99.storage.file.DurableFiles;
import io.spg99.storage.wal.TimelineId;
import java.io.Closeable;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The directory of one Safekeeper, locked for as long as this object lives.
 *
 * <pre>
 * lock                 held by the one process that uses the directory
 * spare/               segments to come
 * timelines/ID/        control file and segments of a timeline
 * </pre>
 */
final class SafekeeperStore implements Closeable {

    private final Path timelines;
    private final FileChannel lockFile;
    private final SpareSegments spares;

    private SafekeeperStore(Path timelines, FileChannel lockFile, SpareSegments spares) {
        this.timelines = timelines;
        this.lockFile = lockFile;
        this.spares = spares;
    }

    /** @throws IOException if the directory cannot be used, or another instance uses it */
    static SafekeeperStore open(Path directory) throws IOException {
        DurableFiles.createDirectories(directory);
        // Everybody's data is in there, and the Unix socket that asks for no password.
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwx------"));
        FileChannel lockFile =
                FileChannel.open(directory.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        try {
            if (tryLock(lockFile) == null) {
                throw new IOException("another Safekeeper uses this directory: directory=" + directory);
            }
            Path timelines = directory.resolve("timelines");
            DurableFiles.createDirectories(timelines);
            return new SafekeeperStore(timelines, lockFile, new SpareSegments(directory.resolve("spare")));
        } catch (IOException e) {
            lockFile.close();
            throw e;
        }
    }

    private static @Nullable FileLock tryLock(FileChannel file) throws IOException {
        try {
            return file.tryLock();
        } catch (OverlappingFileLockException e) {
            return null;
        }
    }

    /** Timelines that have a directory. */
    List<TimelineId> timelines() throws IOException {
        List<TimelineId> found = new ArrayList<>();
        try (Stream<Path> files = Files.list(timelines)) {
            for (Path file : files.toList()) {
                timelineId(String.valueOf(file.getFileName())).ifPresent(found::add);
            }
        }
        return found;
    }

    private static Optional<TimelineId> timelineId(String name) {
        try {
            return Optional.of(new TimelineId(name));
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    FileWalDisk disk(TimelineId timeline, int segmentSize) throws IOException {
        return FileWalDisk.of(directory(timeline), segmentSize, spares);
    }

    /** Null if the timeline was never begun here. */
    @Nullable
    FileWalDisk existingDisk(TimelineId timeline) throws IOException {
        return FileWalDisk.existing(directory(timeline), spares);
    }

    void delete(TimelineId timeline) throws IOException {
        FileWalDisk.delete(directory(timeline));
    }

    private Path directory(TimelineId timeline) {
        return timelines.resolve(timeline.value());
    }

    @Override
    public void close() throws IOException {
        spares.close();
        lockFile.close();
    }
}
