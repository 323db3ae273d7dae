package io.spg99.storage.safekeeper;

import io.spg99.storage.replication.PgReplicationConnection;
import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.replication.ReplicationMessage;
import io.spg99.storage.replication.ReplicationTarget;
import io.spg99.storage.thread.Threads;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads a part of a timeline's WAL from Safekeepers, one connection at a time. Blocking; one fetch at a time;
 * {@link #cancel} may come from any thread.
 */
public final class WalFetch {

    /** A Safekeeper on the same network answers a connect within milliseconds. */
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(2);

    /** Safekeepers send something every second, see {@code WalServer}; after this the next source is tried. */
    private static final Duration SILENCE = Duration.ofSeconds(5);

    private static final Logger LOG = LoggerFactory.getLogger(WalFetch.class);

    private final TimelineId timeline;
    private final TlsIdentity identity;
    private final String applicationName;
    private final ReplicationConnection.Connector connector;
    private final Threads threads;

    private volatile boolean cancelled;
    private volatile @Nullable ReplicationConnection current;

    /** @param applicationName how the Safekeeper logs this client */
    public WalFetch(TimelineId timeline, TlsIdentity identity, String applicationName) {
        this(timeline, identity, applicationName, PgReplicationConnection::open, Threads.JVM);
    }

    public WalFetch(
            TimelineId timeline,
            TlsIdentity identity,
            String applicationName,
            ReplicationConnection.Connector connector,
            Threads threads) {
        this.timeline = timeline;
        this.identity = identity;
        this.applicationName = applicationName;
        this.connector = connector;
        this.threads = threads;
    }

    /**
     * Reads {@code [from, to)} along {@code history}, from the first source that can; where one breaks off the next goes
     * on.
     *
     * @throws ReplicationException if no source has it all, or the fetch was cancelled
     * @throws IOException          what the sink threw; no other source is tried then
     */
    public void fetch(List<WalSource> sources, WalHistory history, Lsn from, Lsn to, WalSink sink) throws IOException {
        Lsn next = from;
        List<String> troubles = new ArrayList<>();
        for (WalSource source : sources) {
            if (!next.isBefore(to)) {
                return;
            }
            Progress progress = new Progress(next, to, sink, threads);
            try (ReplicationConnection connection = open(source)) {
                connection.start(next, history.upTo(to).last().generation());
                progress.readFrom(connection);
            } catch (ReplicationException e) {
                if (cancelled) {
                    throw e;
                }
                LOG.info(
                        "timeline={} safekeeper={} cannot give WAL at {}: {}",
                        timeline,
                        source.safekeeper(),
                        progress.next,
                        e.getMessage());
                troubles.add(source.safekeeper() + ": " + e.getMessage());
            } finally {
                current = null;
            }
            next = progress.next;
        }
        if (next.isBefore(to)) {
            throw new ReplicationException("no source has the WAL: timeline=" + timeline + " from=" + next + " to=" + to
                    + " sources=" + troubles);
        }
    }

    /**
     * How far a source could be read now along its own lineage, and which generation is its last.
     *
     * @throws ReplicationException if the source cannot be asked
     */
    public ReplicationConnection.Identity identify(WalSource source) throws ReplicationException {
        try (ReplicationConnection connection = open(source)) {
            return connection.identify();
        } finally {
            current = null;
        }
    }

    private ReplicationConnection open(WalSource source) throws ReplicationException {
        ReplicationConnection connection = connector.open(target(source, timeline, identity, applicationName));
        current = connection;
        if (cancelled) {
            connection.close();
            throw new ReplicationException("cancelled");
        }
        return connection;
    }

    /** What the connector is asked for: for whoever connects ahead. */
    public static ReplicationTarget target(
            WalSource source, TimelineId timeline, TlsIdentity identity, String applicationName) {
        return new ReplicationTarget(
                source.host(),
                source.port(),
                timeline.value(),
                applicationName,
                identity,
                CONNECT_TIMEOUT,
                SILENCE,
                source.socket());
    }

    /** Ends a running fetch, and every later one, with an exception. */
    public void cancel() {
        cancelled = true;
        ReplicationConnection connection = current;
        if (connection != null) {
            connection.cut();
        }
    }

    private static final class Progress {
        private Lsn next;
        private final Lsn to;
        private final WalSink sink;
        private final Threads threads;

        Progress(Lsn next, Lsn to, WalSink sink, Threads threads) {
            this.next = next;
            this.to = to;
            this.sink = sink;
            this.threads = threads;
        }

        void readFrom(ReplicationConnection connection) throws IOException {
            Stall stall = new Stall(threads);
            while (next.isBefore(to)) {
                ReplicationMessage message = connection.receive();
                if (message == null) {
                    throw new ReplicationException("the stream ended at " + next);
                }
                switch (message) {
                    case ReplicationMessage.Wal wal -> {
                        take(wal.at(), wal.bytes());
                        stall.reset();
                    }
                    case ReplicationMessage.Keepalive alive -> stall.check(next);
                }
            }
        }

        private void take(Lsn at, ByteBuffer bytes) throws IOException {
            if (!at.equals(next)) {
                throw new ReplicationException("gap in the stream: expected=" + next + " actual=" + at);
            }
            if (to.minus(next) < bytes.remaining()) {
                bytes.limit(bytes.position() + (int) to.minus(next));
            }
            int length = bytes.remaining();
            sink.accept(next, bytes);
            next = next.plus(length);
        }
    }

    /** A source that is alive but has no more than this: keepalives must not make the fetch wait for ever. */
    private static final class Stall {
        private final Threads threads;
        private long since;

        Stall(Threads threads) {
            this.threads = threads;
            this.since = threads.nanoTime();
        }

        void reset() {
            since = threads.nanoTime();
        }

        void check(Lsn next) throws ReplicationException {
            if (threads.nanoTime() - since > SILENCE.toNanos()) {
                throw new ReplicationException("the source has no more WAL than to " + next);
            }
        }
    }
}
