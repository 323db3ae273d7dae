package io.spg99.nodes.safekeeper.receive;

import io.spg99.nodes.safekeeper.log.LogFailedException;
import io.spg99.nodes.safekeeper.log.MalformedWalException;
import io.spg99.nodes.safekeeper.log.SupersededException;
import io.spg99.nodes.safekeeper.log.TimelineLog;
import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.replication.ReplicationMessage;
import io.spg99.storage.replication.ReplicationTarget;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.safekeeper.WriterNames;
import io.spg99.storage.thread.Threads;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Follows the writer of one generation on a thread of its own, until stopped or promised away: takes what has arrived,
 * makes it durable with one sync, and tells the writer at once. Reconnects by itself.
 *
 * <p>Stopping only cuts the connection; that no byte is taken afterwards is the log's care (W2), not this thread's.
 */
public final class WalReceiver {

    /** What the owner wants to know. Called on the receiver's thread; must not block. */
    public interface Listener {

        /** A stream is up, or no longer. */
        void following(WalReceiver receiver, boolean up);

        /** The durable position has moved, or no more is taken, or is taken again. */
        void progress(WalReceiver receiver);

        /** The writer has removed what is to come next here, and no donor has it. It is tried again. */
        void stranded(WalReceiver receiver, Lsn at);

        /** The log can take no more; the receiver has ended. */
        void failed(WalReceiver receiver, LogFailedException reason);
    }

    /** @param identity this Safekeeper's certificate, common name {@link TlsIdentity#SAFEKEEPER} */
    public record Self(SafekeeperId id, TlsIdentity identity) {}

    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(3);

    /** PostgreSQL sends a keepalive at half of wal_sender_timeout (60 s). */
    private static final Duration SILENCE = Duration.ofSeconds(60);

    /** A stream that lasts this long is in order even if its writer writes nothing. */
    private static final Duration HEALTHY = Duration.ofSeconds(5);

    /** Bytes taken before a sync at the latest: a writer in full flow must not wait for a report for ever. */
    private static final int MOST_PER_SYNC = 4 << 20;

    /** While the log is full: how often the writer hears that somebody is there, and whether there is room is looked at. */
    private static final Duration ROOM_INTERVAL = Duration.ofMillis(500);

    private static final Logger LOG = LoggerFactory.getLogger(WalReceiver.class);

    private final Self self;
    private final TimelineLog log;
    private final TimelineId timeline;
    private final int generation;
    private final WriterAddress writer;
    private final ReplicationTarget target;
    private final QuorumSlot slot;
    private final Listener listener;
    private final WalFetch fetch;
    private final ReplicationConnection.Connector connector;
    private final Threads threads;
    private final long maxWal;
    private final Threads.Gate stopped;

    private final Backoff backoff = new Backoff();

    private volatile List<WalSource> donors;
    private volatile @Nullable ReplicationConnection current;
    private String lastTrouble = "";

    /** @param maxWal bytes of WAL at which no more is taken, see {@link TimelineLog#isFull} */
    public WalReceiver(
            Self self,
            TimelineLog log,
            int generation,
            WriterAddress writer,
            List<WalSource> donors,
            Listener listener,
            ReplicationConnection.Connector connector,
            Threads threads,
            long maxWal) {
        this.self = self;
        this.log = log;
        this.timeline = log.base().timeline();
        this.generation = generation;
        this.writer = writer;
        this.target = new ReplicationTarget(
                writer.host(),
                writer.port(),
                WriterNames.SAFEKEEPER_ROLE,
                self.id().value(),
                self.identity(),
                CONNECT_TIMEOUT,
                SILENCE,
                writer.socket());
        this.donors = List.copyOf(donors);
        this.listener = listener;
        this.fetch = new WalFetch(timeline, self.identity(), self.id().value(), connector, threads);
        this.connector = connector;
        this.threads = threads;
        this.maxWal = maxWal;
        this.stopped = threads.gate();
        this.slot = new QuorumSlot(self, target, generation, connector, threads, stopped);
    }

    public int generation() {
        return generation;
    }

    public WriterAddress writer() {
        return writer;
    }

    public void start() {
        threads.start("spg99-" + self.id() + "-" + timeline, this::run);
    }

    /** From now on these are asked for what the writer no longer has. */
    public void donors(List<WalSource> now) {
        donors = List.copyOf(now);
    }

    /** Two Safekeepers have everything before {@code lsn}: the writer need not keep it. Does not block. */
    public void quorum(Lsn lsn) {
        slot.quorum(lsn);
    }

    /** Cuts the connection and ends the thread soon; does not wait. */
    public void stop() {
        stopped.open();
        fetch.cancel();
        ReplicationConnection connection = current;
        if (connection != null) {
            connection.cut();
        }
    }

    private boolean isStopped() {
        return stopped.isOpen();
    }

    private void run() {
        try {
            while (!isStopped()) {
                attempt();
                if (stopped.await(backoff.next().toMillis())) {
                    return;
                }
            }
        } catch (SupersededException e) {
            LOG.info("timeline={} safekeeper={} stops following: {}", timeline, self.id(), e.getMessage());
        } catch (LogFailedException e) {
            if (!isStopped()) {
                listener.failed(this, e);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** One connection from its begin to its end; returns if it is worth trying again. */
    private void attempt() throws SupersededException, LogFailedException, InterruptedException {
        try {
            follow();
            trouble("the writer ended the stream");
        } catch (SupersededException | LogFailedException e) {
            throw e;
        } catch (ReplicationException e) {
            trouble(String.valueOf(e.getMessage()));
            if (e.walRemoved()) {
                fill();
            }
        } catch (MalformedWalException e) {
            LOG.warn(
                    "timeline={} safekeeper={} generation={} sent what is not its WAL: {}",
                    timeline,
                    self.id(),
                    generation,
                    e.getMessage());
        } catch (IOException e) {
            trouble(String.valueOf(e.getMessage()));
        }
    }

    /** Said once, not on every attempt. */
    private void trouble(String what) {
        if (!isStopped() && !what.equals(lastTrouble)) {
            LOG.info(
                    "timeline={} safekeeper={} generation={} is not followed: {}",
                    timeline,
                    self.id(),
                    generation,
                    what);
            lastTrouble = what;
        }
    }

    private void follow() throws IOException, InterruptedException {
        try (ReplicationConnection connection = connector.open(target)) {
            current = connection;
            if (isStopped()) {
                return;
            }
            connection.claim(self.id().value());
            ReplicationConnection.Identity identity = connection.identify();
            check(identity);
            log.voteFrom(generation, identity.position());
            // Before this Safekeeper can count as a follower: so a writer that is ready has the slot.
            QuorumSlot.ensure(connection);
            Lsn from = log.follow(generation);
            connection.start(from, generation);
            connection.status(from);
            LOG.info("timeline={} safekeeper={} follows generation={} from {}", timeline, self.id(), generation, from);
            listener.following(this, true);
            stream(connection);
        } finally {
            current = null;
            listener.following(this, false);
        }
    }

    private void check(ReplicationConnection.Identity writerIdentity) throws ReplicationException {
        long expected = log.base().systemIdentifier();
        if (writerIdentity.systemIdentifier() != expected || writerIdentity.generation() != generation) {
            throw new ReplicationException(
                    "not the writer of this generation: system identifier expected=%s actual=%s, generation expected=%d actual=%d"
                            .formatted(
                                    Long.toUnsignedString(expected),
                                    Long.toUnsignedString(writerIdentity.systemIdentifier()),
                                    generation,
                                    writerIdentity.generation()));
        }
    }

    // A busy machine is asked to let others run; nothing relies on their having run.
    @SuppressWarnings("ThreadPriorityCheck")
    private void stream(ReplicationConnection connection) throws IOException, InterruptedException {
        long began = threads.nanoTime();
        awaitRoom(connection);
        ReplicationMessage message = connection.receive();
        while (message != null && !isStopped()) {
            int taken = 0;
            boolean yielded = false;
            boolean reply = false;
            while (message != null) {
                switch (message) {
                    case ReplicationMessage.Wal wal -> {
                        taken += wal.bytes().remaining();
                        log.append(generation, wal.at(), wal.bytes());
                    }
                    case ReplicationMessage.Keepalive alive -> reply |= alive.replyRequested();
                }
                message = taken < MOST_PER_SYNC ? connection.poll() : null;
                if (message == null && taken > 0 && taken < MOST_PER_SYNC && !yielded) {
                    // Where processors are short, backends that are about to commit run first: one sync for theirs too.
                    yielded = true;
                    Thread.yield();
                    message = connection.poll();
                }
            }
            if (taken > 0 || reply) {
                connection.status(log.flush());
            }
            if (taken > 0) {
                listener.progress(this);
            }
            // Not on the writer's word that the stream begins: it looks for the WAL only then.
            if (taken > 0 || threads.nanoTime() - began > HEALTHY.toNanos()) {
                healthy();
            }
            awaitRoom(connection);
            message = connection.receive();
        }
    }

    /**
     * While the log is full nothing is read, so that the writer's walsender waits, and with it all commits if another
     * Safekeeper does the same. It is told positions meanwhile, or it would take the silence for the end of this connection.
     */
    private void awaitRoom(ReplicationConnection connection) throws IOException, InterruptedException {
        if (isStopped() || !log.isFull(maxWal)) {
            return;
        }
        TimelineLog.View held = log.view();
        LOG.warn(
                "timeline={} safekeeper={} takes no more WAL: {}..{} is in no snapshot, limit={}",
                timeline,
                self.id(),
                held.horizon(),
                held.flushed(),
                maxWal);
        listener.progress(this);
        while (log.isFull(maxWal)) {
            if (stopped.await(ROOM_INTERVAL.toMillis())) {
                return;
            }
            connection.status(log.view().flushed());
        }
        LOG.info("timeline={} safekeeper={} takes WAL again", timeline, self.id());
        listener.progress(this);
    }

    private void healthy() {
        backoff.reset();
        lastTrouble = "";
    }

    /** Takes from a peer what the writer has removed already. */
    private void fill() throws SupersededException, LogFailedException {
        for (WalSource donor : donors) {
            try {
                ReplicationConnection.Identity peer = fetch.identify(donor);
                Lsn from = log.follow(generation);
                if (peer.generation() == generation && peer.position().isAfter(from)) {
                    fetch.fetch(
                            List.of(donor),
                            log.lineage(),
                            from,
                            peer.position(),
                            (at, bytes) -> log.append(generation, at, bytes));
                    Lsn flushed = log.flush();
                    listener.progress(this);
                    LOG.info(
                            "timeline={} safekeeper={} filled from {} up to {}",
                            timeline,
                            self.id(),
                            donor.safekeeper(),
                            flushed);
                    healthy();
                    return;
                }
            } catch (SupersededException | LogFailedException e) {
                throw e;
            } catch (IOException e) {
                trouble("cannot fill from " + donor.safekeeper() + ": " + e.getMessage());
            }
        }
        listener.stranded(this, log.view().flushed());
    }
}
