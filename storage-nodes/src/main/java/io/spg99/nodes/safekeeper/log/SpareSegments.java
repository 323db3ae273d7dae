package io.spg99.nodes.safekeeper.log;

import io.spg99.storage.file.DurableFiles;
import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Zero-filled, synced segment files, made in the background and taken by rename. Writing into them changes no metadata, so
 * that the sync of a commit writes nothing but the commit.
 */
public final class SpareSegments implements Closeable {

    /** A generation needs one when it starts; the others are for its neighbours, and for a writer in a hurry. */
    private static final int KEPT = 4;

    /** With this many left new ones can wait: making them competes with the start that took one. */
    private static final int ENOUGH = 2;

    private static final Duration DELAY = Duration.ofSeconds(1);

    private static final int CHUNK = 1 << 20;
    private static final Logger LOG = LoggerFactory.getLogger(SpareSegments.class);

    private final Path directory;
    private final ScheduledExecutorService maker;

    /** Sizes for which spares are being made. */
    private final Set<Integer> making = new HashSet<>();

    private long made;

    public SpareSegments(Path directory) throws IOException {
        this.directory = directory;
        DurableFiles.createDirectories(directory);
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file :
                    files.filter(file -> file.toString().endsWith(".tmp")).toList()) {
                Files.deleteIfExists(file);
            }
        }
        this.maker = Executors.newSingleThreadScheduledExecutor(task -> {
            Thread thread = new Thread(task, "spg99-spare-segments");
            thread.setDaemon(true);
            return thread;
        });
    }

    /**
     * Gives a spare segment of that size the name {@code target}, which must not exist.
     *
     * @return false if there is none; one is on its way then
     */
    boolean take(int size, Path target) throws IOException {
        boolean taken = false;
        int left = 0;
        for (Path spare : list(size)) {
            if (!taken) {
                taken = rename(spare, target);
            } else {
                left++;
            }
        }
        order(size, left < ENOUGH ? Duration.ZERO : DELAY);
        return taken;
    }

    private static boolean rename(Path spare, Path target) {
        try {
            Files.move(spare, target, StandardCopyOption.ATOMIC_MOVE);
            return true;
        } catch (IOException e) {
            // Another timeline was faster; the next spare, or none, will do.
            return false;
        }
    }

    private List<Path> list(int size) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.filter(file -> file.getFileName().toString().startsWith(size + "-")
                            && !file.toString().endsWith(".tmp"))
                    .toList();
        }
    }

    /** Makes sure that spares of that size are there soon. */
    public void order(int size) {
        order(size, Duration.ZERO);
    }

    private synchronized void order(int size, Duration delay) {
        if (making.add(size)) {
            try {
                maker.schedule(() -> make(size), delay.toMillis(), TimeUnit.MILLISECONDS);
            } catch (RejectedExecutionException e) {
                making.remove(size);
            }
        }
    }

    private void make(int size) {
        try {
            for (int missing = KEPT - list(size).size(); missing > 0; missing--) {
                makeOne(size);
            }
        } catch (IOException e) {
            // Writers make do with sparse files, and say so themselves when the disk is full.
            if (!maker.isShutdown()) {
                LOG.warn("cannot make spare segments in {}: {}", directory, e.toString());
            }
        } finally {
            synchronized (this) {
                making.remove(size);
            }
        }
    }

    private void makeOne(int size) throws IOException {
        Path spare =
                directory.resolve(size + "-" + ProcessHandle.current().pid() + "-" + System.nanoTime() + "-" + made++);
        Path temporary = spare.resolveSibling(spare.getFileName() + ".tmp");
        try (FileChannel channel =
                FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            ByteBuffer zeros = ByteBuffer.allocate(Math.min(CHUNK, size));
            for (int left = size; left > 0; left -= zeros.limit()) {
                zeros.clear().limit(Math.min(left, zeros.capacity()));
                while (zeros.hasRemaining()) {
                    channel.write(zeros);
                }
            }
            channel.force(true);
        } catch (IOException e) {
            Files.deleteIfExists(temporary);
            throw e;
        }
        Files.move(temporary, spare, StandardCopyOption.ATOMIC_MOVE);
        DurableFiles.syncDirectory(directory);
    }

    @Override
    public void close() {
        maker.shutdownNow();
    }
}
