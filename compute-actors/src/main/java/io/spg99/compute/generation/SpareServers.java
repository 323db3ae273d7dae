package io.spg99.compute.generation;

import io.spg99.storage.postgres.PostgresProcess;
import java.io.IOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A PostgreSQL server that waits, with its configuration read and its memory made, for a generation to take it: that part of
 * a start needs nothing of a database. One is kept ready for the image that was used last; it costs a process with its
 * shared memory.
 */
final class SpareServers implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(SpareServers.class);

    /** A new one is made when the start that used the last one is likely over. */
    private static final Duration REFILL_DELAY = Duration.ofSeconds(1);

    /** From its launch to waiting takes some 10 ms. */
    private static final Duration HELD_DEADLINE = Duration.ofSeconds(30);

    private static final Duration STOP_DEADLINE = Duration.ofSeconds(3);

    /** Starts a held server for an image in a directory, which does not exist yet. */
    @FunctionalInterface
    interface Maker {
        PostgresProcess make(String image, Path directory) throws IOException;
    }

    /** Ends what runs in a directory, and removes it with all that belongs to it. */
    @FunctionalInterface
    interface Remover {
        void remove(Path directory) throws IOException;
    }

    private record Spare(String image, Path directory, PostgresProcess server) {}

    private final Path directory;
    private final Maker maker;
    private final Remover remover;
    private final AtomicReference<@Nullable Spare> waiting = new AtomicReference<>();
    private final ScheduledThreadPoolExecutor executor = new ScheduledThreadPoolExecutor(
            1, task -> Thread.ofPlatform().name("spare-servers").daemon().unstarted(task));

    /**
     * @param directory for its data directories, in the file system of the generations'; made when needed; others may have
     *                  servers there, too
     */
    SpareServers(Path directory, Maker maker, Remover remover) {
        this.directory = directory;
        this.maker = maker;
        this.remover = remover;
        executor.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    }

    /**
     * Takes the waiting server, if it is one for this image, and renames its directory to {@code pgdata}. Does not wait.
     *
     * @throws IOException if the directory could not be renamed
     */
    Optional<PostgresProcess> take(String image, Path pgdata) throws IOException {
        Spare spare = waiting.getAndSet(null);
        refill(image, REFILL_DELAY);
        if (spare == null) {
            return Optional.empty();
        }
        if (!spare.image().equals(image) || !spare.server().isAlive()) {
            executor.execute(() -> remove(spare));
            return Optional.empty();
        }
        Files.move(spare.directory(), pgdata, StandardCopyOption.ATOMIC_MOVE);
        return Optional.of(spare.server());
    }

    /** Makes a server for {@code image} wait, unless one waits already. */
    void refill(String image, Duration delay) {
        if (!executor.isShutdown()) {
            executor.schedule(() -> make(image), delay.toMillis(), TimeUnit.MILLISECONDS);
        }
    }

    /** Process id of the server that waits. */
    Optional<Long> waiting() {
        return Optional.ofNullable(waiting.get()).map(spare -> spare.server().pid());
    }

    private void make(String image) {
        if (waiting.get() != null) {
            return;
        }
        // Nobody else's: what runs there is killed when it is removed.
        Path place = directory.resolve(UUID.randomUUID().toString());
        try {
            Files.createDirectories(directory);
            Spare spare = new Spare(image, place, maker.make(image, place));
            spare.server().held().toCompletableFuture().get(HELD_DEADLINE.toMillis(), TimeUnit.MILLISECONDS);
            waiting.set(spare);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (IOException | ExecutionException | TimeoutException e) {
            LOG.warn("no server could be made ready, the next start will be slower: directory={}", place, e);
            removeDirectory(place);
        }
    }

    private void remove(Spare spare) {
        try {
            spare.server()
                    .stop(PostgresProcess.Stop.IMMEDIATE, Duration.ZERO)
                    .toCompletableFuture()
                    .get(STOP_DEADLINE.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (ExecutionException | TimeoutException e) {
            LOG.debug("a spare server does not end: directory={}", spare.directory(), e);
        }
        removeDirectory(spare.directory());
    }

    private void removeDirectory(Path place) {
        try {
            remover.remove(place);
        } catch (IOException e) {
            LOG.warn("a spare server's directory could not be removed: directory={}", place, e);
        }
    }

    /** Ends the waiting server and removes its files. Blocks, some milliseconds if all is well. */
    @Override
    public void close() {
        executor.shutdown();
        try {
            if (!executor.awaitTermination(STOP_DEADLINE.toMillis(), TimeUnit.MILLISECONDS)) {
                LOG.warn("a spare server is still being made: directory={}", directory);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        Spare spare = waiting.getAndSet(null);
        if (spare != null) {
            remove(spare);
        }
        try {
            Files.deleteIfExists(directory);
        } catch (DirectoryNotEmptyException e) {
            LOG.debug("others have spare servers there: directory={}", directory);
        } catch (IOException e) {
            LOG.warn("the spare servers' directory could not be removed: directory={}", directory, e);
        }
    }
}
