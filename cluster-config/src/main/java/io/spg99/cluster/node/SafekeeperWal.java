package io.spg99.cluster.node;

import io.spg99.compute.generation.GenerationSpec;
import io.spg99.compute.generation.Recovery;
import io.spg99.compute.generation.WalProvider;
import io.spg99.storage.replication.PgReplicationConnection;
import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.replication.ReplicationTarget;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.safekeeper.WalSegmentFiles;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.thread.Threads;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * Fetches the WAL of a generation from Safekeepers. Connects while the promises are asked for, to the Safekeeper that gave
 * the last one its WAL: likely it is the right one again, and if not, nothing but a connection was wasted.
 */
final class SafekeeperWal implements WalProvider {

    private record Ahead(ReplicationTarget target, CompletableFuture<ReplicationConnection> connection) {

        void close() {
            connection.thenAccept(ReplicationConnection::close);
        }
    }

    private final TlsIdentity identity;

    /** By application name. Each goes with its fetch, or with its generation. */
    private final Map<String, Ahead> connecting = new ConcurrentHashMap<>();

    private volatile @Nullable WalSource last;

    SafekeeperWal(TlsIdentity identity) {
        this.identity = identity;
    }

    private static String name(GenerationSpec spec) {
        return "generation-" + spec.base().timeline() + "-" + spec.generation();
    }

    @Override
    public void prepare(GenerationSpec spec) {
        WalSource source = last;
        if (source != null) {
            ReplicationTarget target = WalFetch.target(source, spec.base().timeline(), identity, name(spec));
            Ahead ahead = new Ahead(target, new CompletableFuture<>());
            connecting.put(name(spec), ahead);
            Threads.JVM.start("spg99-wal-" + spec.databaseId(), () -> connect(ahead));
        }
    }

    private static void connect(Ahead ahead) {
        try {
            ahead.connection().complete(PgReplicationConnection.open(ahead.target()));
        } catch (IOException | RuntimeException e) {
            ahead.connection().completeExceptionally(e);
        }
    }

    @Override
    public void fetch(GenerationSpec spec, Recovery recovery, Lsn start, Path pgWal) throws IOException {
        WalFetch fetch = new WalFetch(
                spec.base().timeline(), identity, name(spec), target -> connection(spec, target), Threads.JVM);
        try (WalSegmentFiles files =
                new WalSegmentFiles(pgWal, recovery.history(), spec.base().segmentSize())) {
            fetch.fetch(recovery.sources(), recovery.history(), start, recovery.end(), files);
        } finally {
            forget(spec);
        }
        last = recovery.sources().getFirst();
    }

    private ReplicationConnection connection(GenerationSpec spec, ReplicationTarget target)
            throws ReplicationException {
        Ahead ahead = connecting.get(name(spec));
        if (ahead == null || !ahead.target().equals(target) || !connecting.remove(name(spec), ahead)) {
            return PgReplicationConnection.open(target);
        }
        try {
            return ahead.connection().join();
        } catch (CompletionException e) {
            return PgReplicationConnection.open(target);
        }
    }

    @Override
    public void forget(GenerationSpec spec) {
        Ahead ahead = connecting.remove(name(spec));
        if (ahead != null) {
            ahead.close();
        }
    }
}
