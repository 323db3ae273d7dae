package io.spg99.cluster.node;

import io.spg99.cluster.pki.PlatformPki;
import io.spg99.nodes.safekeeper.Safekeeper;
import io.spg99.nodes.safekeeper.SafekeeperSettings;
import io.spg99.storage.replication.PgReplicationConnection;
import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.safekeeper.SafekeeperCommand;
import io.spg99.storage.tls.TlsIdentity;
import java.io.IOException;
import java.time.Clock;
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
 * One Safekeeper as a process's only part: no journal, no keys but its certificate, no PostgreSQL. It outlives the cluster
 * it is in: when that is gone (see {@link SafekeeperMember}), this begins again with an ActorSystem of its own, as Pekko
 * lets none join twice, and joins whatever its seeds have begun meanwhile. Methods here block.
 */
public final class SafekeeperNode {

    private static final Logger LOG = LoggerFactory.getLogger(SafekeeperNode.class);

    private static final Duration STOP_LIMIT = Duration.ofSeconds(9);

    private final SafekeeperNodeSettings settings;
    private final TlsIdentity identity;
    private final Consumer<String> progress;

    private @Nullable ActorSystem<?> system;
    private volatile boolean failed;
    private @Nullable Cancellable stopHook;
    private boolean stopping;

    private SafekeeperNode(SafekeeperNodeSettings settings, TlsIdentity identity, Consumer<String> progress) {
        this.settings = settings;
        this.identity = identity;
        this.progress = progress;
    }

    /**
     * Begins a Safekeeper and returns when its directory is locked and its ports are bound; {@link #run} makes it go on.
     *
     * @param progress told, from any thread, when it has joined a cluster and when it has lost it; must not block
     * @throws IOException what is wrong with the directory, the certificates, or a port
     */
    public static SafekeeperNode start(SafekeeperNodeSettings settings, Consumer<String> progress) throws IOException {
        TlsIdentity identity =
                PlatformPki.open(settings.pki(), Clock.systemUTC()).internal(TlsIdentity.SAFEKEEPER);
        SafekeeperNode node = new SafekeeperNode(settings, identity, progress);
        node.begin();
        return node;
    }

    /**
     * Goes on until the JVM is told to end (SIGINT, SIGTERM), which then waits for an orderly stop.
     *
     * @throws IOException if the Safekeeper ended by itself, or cannot begin again
     */
    public void run() throws IOException {
        ActorSystem<?> running = current();
        while (running != null) {
            running.getWhenTerminated().toCompletableFuture().join();
            if (failed) {
                throw new IOException("Safekeeper " + settings.id() + " ended by itself");
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
            LOG.info(
                    "safekeeper={} joins again: seeds={}",
                    settings.id(),
                    settings.member().seeds());
            progress.accept("The cluster is gone. Safekeeper " + settings.id() + " waits for another at "
                    + String.join(", ", settings.member().seeds()) + " …");
        }
        String host = settings.member().host();
        Behavior<SafekeeperCommand> safekeeper = Safekeeper.create(new SafekeeperSettings(
                settings.id(),
                settings.directory(),
                host,
                settings.walPort(),
                host,
                identity,
                connector(),
                Membership.common().getBytes(SafekeeperSettings.MAX_WAL)));
        ActorSystem<?> begun = Membership.begin(
                settings.member(), SafekeeperMember.create(settings.id(), safekeeper, listener()), Map.of());
        if (stopHook != null) {
            stopHook.cancel();
        }
        stopHook = Membership.onJvmShutdown(begun, this::stop);
        system = begun;
        return begun;
    }

    private ReplicationConnection.Connector connector() {
        return settings.tcpOnly()
                ? target -> PgReplicationConnection.open(target.byTcp())
                : PgReplicationConnection::open;
    }

    private SafekeeperMember.Listener listener() {
        return new SafekeeperMember.Listener() {
            @Override
            public void joined() {
                progress.accept("Safekeeper " + settings.id() + " is ready.");
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
            LOG.warn("safekeeper={} did not stop in order: {}", settings.id(), e.toString());
        }
    }
}
