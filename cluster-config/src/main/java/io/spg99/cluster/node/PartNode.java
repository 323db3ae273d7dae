package io.spg99.cluster.node;

import java.io.IOException;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.apache.pekko.actor.Cancellable;
import org.apache.pekko.actor.CoordinatedShutdown;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.Behavior;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One part of the platform as a process's only part: no journal, no keys but its certificate. It outlives the cluster it is in: when
 * that is gone (see {@link PartMember}), this begins again with an ActorSystem of its own, as Pekko lets none join twice, and
 * joins whatever its seeds have begun meanwhile. Methods here block.
 */
public final class PartNode {

    private static final Logger LOG = LoggerFactory.getLogger(PartNode.class);

    private static final Duration STOP_LIMIT = Duration.ofSeconds(9);

    /** What runs there. */
    interface Part extends AutoCloseable {

        /** As users see it. */
        String name();

        /** For one ActorSystem after the other. */
        Behavior<?> begin() throws IOException;

        /** When the last of them has ended. */
        @Override
        void close();
    }

    private final MemberSettings member;
    private final Part part;
    private final Consumer<String> progress;

    private @Nullable ActorSystem<?> system;
    private volatile boolean failed;
    private @Nullable Cancellable stopHook;
    private boolean stopping;

    private PartNode(MemberSettings member, Part part, Consumer<String> progress) {
        this.member = member;
        this.part = part;
        this.progress = progress;
    }

    /**
     * Begins a Safekeeper and returns when its directory is locked and its ports are bound; {@link #run} makes it go on.
     *
     * @param progress told, from any thread, when it has joined a cluster and when it has lost it; must not block
     * @throws IOException what is wrong with the directory, the certificates, or a port
     */
    public static PartNode start(SafekeeperNodeSettings settings, Consumer<String> progress) throws IOException {
        return start(settings.member(), SafekeeperPart.open(settings), progress);
    }

    /** The same with a node that runs generations, whose directory is swept. */
    public static PartNode start(GenerationNodeSettings settings, Consumer<String> progress) throws IOException {
        return start(settings.member(), GenerationPart.open(settings), progress);
    }

    private static PartNode start(MemberSettings member, Part part, Consumer<String> progress) throws IOException {
        PartNode node = new PartNode(member, part, progress);
        node.begin();
        return node;
    }

    /**
     * Goes on until the JVM is told to end (SIGINT, SIGTERM), which then waits for an orderly stop.
     *
     * @throws IOException if the part ended by itself, or cannot begin again
     */
    public void run() throws IOException {
        ActorSystem<?> running = current();
        while (running != null) {
            running.getWhenTerminated().toCompletableFuture().join();
            if (failed) {
                throw new IOException(part.name() + " ended by itself");
            }
            running = begin();
        }
    }

    /** Null when this is to stop. */
    private synchronized @Nullable ActorSystem<?> begin() throws IOException {
        if (stopping) {
            return null;
        }
        if (system != null) {
            LOG.info("part={} joins again: seeds={}", part.name(), member.seeds());
            progress.accept("The cluster is gone. " + part.name() + " waits for another at "
                    + String.join(", ", member.seeds()) + " …");
        }
        ActorSystem<?> begun =
                Membership.begin(member, PartMember.create(part.name(), part.begin(), listener()), Map.of());
        if (stopHook != null) {
            stopHook.cancel();
        }
        stopHook = Membership.onJvmShutdown(begun, this::stop);
        system = begun;
        return begun;
    }

    private PartMember.Listener listener() {
        return new PartMember.Listener() {
            @Override
            public void joined() {
                progress.accept(part.name() + " is ready.");
            }

            @Override
            public void failed() {
                failed = true;
            }
        };
    }

    private synchronized @Nullable ActorSystem<?> current() {
        return system;
    }

    private synchronized @Nullable ActorSystem<?> beginStop() {
        stopping = true;
        return system;
    }

    /** Leaves the cluster and closes directory and ports, within about 9 s. */
    private void stop() {
        ActorSystem<?> running = beginStop();
        if (running == null) {
            return;
        }
        try {
            CoordinatedShutdown.get(running)
                    .runAll(CoordinatedShutdown.jvmExitReason())
                    .toCompletableFuture()
                    .get(STOP_LIMIT.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (ExecutionException | TimeoutException e) {
            LOG.warn("part={} did not stop in order: {}", part.name(), e.toString());
        }
        part.close();
    }
}
