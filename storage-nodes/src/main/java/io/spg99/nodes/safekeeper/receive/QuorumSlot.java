package io.spg99.nodes.safekeeper.receive;

import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.replication.ReplicationTarget;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.WriterNames;
import io.spg99.storage.thread.Threads;
import io.spg99.storage.wal.Lsn;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The one physical replication slot of a writer, which all its Safekeepers share: it stands at a position that two of them
 * have, so the writer keeps exactly what no two have, whoever lags, dies or reconnects. Made before the first Safekeeper
 * streams ({@link #ensure}), moved on whenever the quorum position has moved on by {@link #STEP_BYTES}. Nobody streams
 * through it: a slot that moves with a stream would stand for one Safekeeper, not for two.
 *
 * <p>It never moves back, however late one of its movers acts: a slot that falls behind what a checkpoint is just removing
 * would be invalidated. So its position is read while the slot is held, which PostgreSQL lets only one connection do.
 *
 * <pre>
 * reader  READ_REPLICATION_SLOT                      there already: done, another Safekeeper was faster
 * holder  START_REPLICATION SLOT at the WAL's end    nobody else can move it now
 * reader  READ_REPLICATION_SLOT                      still behind
 * holder  status update: flushed = quorum position   the slot stands there
 * </pre>
 */
final class QuorumSlot {

    /** A move costs two connections; what it frees must be worth them. */
    static final long STEP_BYTES = 64 << 20;

    private static final Duration SILENCE = Duration.ofSeconds(5);

    private static final long RETRY_MILLIS = 1000;

    /** Each Safekeeper moves a little later than the one before it: usually only the first has something to do. */
    private static final long TURN_MILLIS = 100;

    private static final Logger LOG = LoggerFactory.getLogger(QuorumSlot.class);

    private final WalReceiver.Self self;
    private final ReplicationTarget writer;
    private final int generation;
    private final ReplicationConnection.Connector connector;
    private final Threads threads;
    private final Threads.Gate stopped;
    private final AtomicBoolean moving = new AtomicBoolean();

    /** Last quorum position heard of; zero before the first. */
    private volatile Lsn quorum = Lsn.ZERO;

    /** Where the slot was last seen, or the first quorum position heard of. */
    private volatile Lsn seen = Lsn.ZERO;

    private String lastTrouble = "";

    /** @param stopped its owner has ended, and so shall this */
    QuorumSlot(
            WalReceiver.Self self,
            ReplicationTarget writer,
            int generation,
            ReplicationConnection.Connector connector,
            Threads threads,
            Threads.Gate stopped) {
        this.self = self;
        this.writer = new ReplicationTarget(
                writer.host(),
                writer.port(),
                writer.user(),
                // Any name but a Safekeeper's own: what is confirmed here must not count as its acknowledgement.
                self.id() + "_slot",
                writer.identity(),
                writer.connectTimeout(),
                SILENCE,
                writer.socket());
        this.generation = generation;
        this.connector = connector;
        this.threads = threads;
        this.stopped = stopped;
    }

    /** Makes the slot if there is none: the base image has it, but somebody may have dropped it. */
    static void ensure(ReplicationConnection connection) throws ReplicationException {
        if (connection.slotPosition(WriterNames.QUORUM_SLOT) == null) {
            connection.ensureSlot(WriterNames.QUORUM_SLOT);
        }
    }

    /** Two Safekeepers have everything before {@code lsn}. Does not block. */
    void quorum(Lsn lsn) {
        quorum = lsn;
        if (seen.equals(Lsn.ZERO)) {
            seen = lsn;
        }
        if (isDue() && moving.compareAndSet(false, true)) {
            threads.start("spg99-" + self.id() + "-slot-" + generation, this::run);
        }
    }

    private boolean isDue() {
        return quorum.minus(seen) >= STEP_BYTES;
    }

    private void run() {
        try {
            long wait = TURN_MILLIS * SafekeeperId.ALL.indexOf(self.id());
            while (!stopped.await(wait) && isDue()) {
                wait = move() ? 0 : RETRY_MILLIS;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            moving.set(false);
        }
    }

    private boolean move() {
        try {
            seen = moveTo(quorum);
            lastTrouble = "";
            return true;
        } catch (ReplicationException e) {
            String trouble = String.valueOf(e.getMessage());
            if (!e.slotInUse() && !trouble.equals(lastTrouble)) {
                LOG.warn("safekeeper={} generation={} cannot move the slot: {}", self.id(), generation, trouble);
                lastTrouble = trouble;
            }
            return false;
        }
    }

    /** @return where the slot stands */
    private Lsn moveTo(Lsn target) throws ReplicationException {
        try (ReplicationConnection reader = connector.open(writer)) {
            Lsn position = positionOf(reader);
            if (!position.isBefore(target)) {
                return position;
            }
            try (ReplicationConnection holder = connector.open(writer)) {
                holder.startWithSlot(WriterNames.QUORUM_SLOT, holder.identify().position(), generation);
                position = positionOf(reader);
                if (!position.isBefore(target)) {
                    return position;
                }
                holder.confirm(target);
                return target;
            }
        }
    }

    private static Lsn positionOf(ReplicationConnection reader) throws ReplicationException {
        ensure(reader);
        Lsn position = reader.slotPosition(WriterNames.QUORUM_SLOT);
        if (position == null) {
            throw new ReplicationException("it keeps nothing");
        }
        return position;
    }
}
