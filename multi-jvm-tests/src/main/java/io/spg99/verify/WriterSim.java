package io.spg99.verify;

import io.spg99.nodes.safekeeper.log.MalformedWalException;
import io.spg99.nodes.safekeeper.log.WalRecordWalker;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.replication.ReplicationMessage;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.wal.Lsn;
import io.spg99.verify.Coverage.Visited;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * One generation's PostgreSQL: gets its WAL with the production fetch, then writes records and serves them. A commit is
 * acknowledged as PostgreSQL does it for {@code ANY 2 (sk1, sk2, sk3)}: when two walsenders have been told a flushed
 * position at or beyond it, no matter whose walsenders they are.
 */
final class WriterSim implements SimConnection.Server {

    /** wal_sender_timeout. */
    private static final long SENDER_TIMEOUT = 10 * Scheduler.SECOND;

    /** tcp_keepalives_idle and three probes. */
    private static final long KEEPALIVE = 45 * Scheduler.SECOND;

    /** A generation writes no more than this, and more only once all is calm: a run must stay short. */
    private static final int MOST_WAL = 40_000;

    private static final int MOST_MESSAGE = 9_000;

    private static final class Walsender {
        private final SimConnection connection;
        private Lsn sent;
        private Lsn flushed = Lsn.ZERO;
        private long heard;

        /** Has been sent everything once: only then does it count. */
        private boolean streaming;

        private boolean pumping;

        Walsender(SimConnection connection, Lsn sent, long heard) {
            this.connection = connection;
            this.sent = sent;
            this.heard = heard;
        }
    }

    private final Simulation world;
    private final Scheduler scheduler;
    private final OwnerSim owner;
    private final QuorumReply.Prepared start;
    private final Instance instance;
    private final List<Walsender> walsenders = new ArrayList<>();

    /** Ends of commits that clients wait for. */
    private final Deque<Lsn> waiting = new ArrayDeque<>();

    private final Map<String, SimConnection> slots = new HashMap<>();
    private @Nullable GenerationWal wal;

    /** Segments before this one are gone. */
    private Lsn kept;

    private boolean stopping;

    WriterSim(Simulation world, OwnerSim owner, QuorumReply.Prepared start) {
        this.world = world;
        this.scheduler = world.scheduler();
        this.owner = owner;
        this.start = start;
        this.kept = world.base().start();
        this.instance =
                new Instance("pg-" + start.generation(), owner.instance().machine(), start.generation());
        new Fiber(scheduler, instance, 0, this::run);
    }

    int generation() {
        return start.generation();
    }

    Instance instance() {
        return instance;
    }

    WriterAddress address() {
        return new WriterAddress(instance.toString(), generation());
    }

    boolean isAlive() {
        return instance.isAlive();
    }

    Lsn end() {
        GenerationWal written = wal;
        return written == null ? start.end() : written.end();
    }

    private void run() {
        TimelineBase base = world.base();
        ArchiveSim.Snapshot snapshot = world.archive().newest();
        Lsn position = snapshot.position();
        if (position.isAfter(start.end())) {
            scheduler.say(() -> "is superseded: a snapshot ends at " + position);
            scheduler.at(null, 0, () -> kill());
            return;
        }
        if (!snapshot.history()
                .commonEnd(position, start.history(), start.end())
                .equals(position)) {
            throw new Violation("one history", instance + " does not begin with what a snapshot holds: " + position);
        }
        WalRecordWalker walker = new WalRecordWalker(
                base.systemIdentifier(), base.segmentSize(), start.history(), position, snapshot.record());
        WalFetch fetch = new WalFetch(
                base.timeline(),
                SafekeeperSim.COMPUTE,
                instance.toString(),
                world.network().connector(instance),
                new SimThreads(scheduler, instance, () -> 0));
        try {
            fetch.fetch(start.sources(), start.history(), snapshot.horizon(), start.end(), (at, bytes) -> {
                world.checker().right(start.history(), at, bytes);
                long known = position.minus(at);
                if (known < bytes.remaining()) {
                    bytes.position(bytes.position() + (int) Math.max(known, 0));
                    walker.accept(bytes);
                }
            });
        } catch (MalformedWalException e) {
            throw new Violation("one history", instance + " cannot read its WAL: " + e.getMessage(), e);
        } catch (IOException e) {
            scheduler.say(() -> "does not get its WAL: " + e.getMessage());
            scheduler.at(null, 0, () -> kill());
            return;
        }
        if (!walker.recordEnd().equals(start.end())) {
            throw new Violation(
                    "one history",
                    "%s would end recovery at %s instead of %s".formatted(instance, walker.recordEnd(), start.end()));
        }
        scheduler.ownFiber().pause(scheduler.between(5, 60) * Scheduler.MILLI);
        GenerationWal written = new GenerationWal(
                scheduler.random().split(), start.history().append(generation(), start.end()), walker.lastRecord());
        world.checker().written(written);
        wal = written;
        written.record(40);
        world.network().listen(instance.toString(), generation(), new Network.Endpoint(instance, this));
        scheduler.say(() -> "accepts connections, writes from " + start.end());
        owner.accepting(this);
        scheduler.at(instance, scheduler.between(1, 30) * Scheduler.MILLI, this::work);
        scheduler.at(instance, Scheduler.SECOND, this::tick);
    }

    /** Some records, with or without a commit at the end. */
    private void work() {
        GenerationWal written = wal;
        if (written == null || stopping) {
            return;
        }
        if (written.end().minus(written.begin()) < (world.isCalm() ? 4L : 1L) * MOST_WAL && waiting.size() < 8) {
            int records = scheduler.random().nextInt(1, 4);
            for (int i = 0; i < records; i++) {
                written.record(
                        scheduler.chance(0.06)
                                ? scheduler.random().nextInt(1000, 20_000)
                                : scheduler.random().nextInt(8, 300));
            }
            if (scheduler.chance(0.04)) {
                written.switchSegment();
            }
            if (world.isCalm() || scheduler.chance(0.8)) {
                waiting.add(written.end());
            }
            walsenders.forEach(this::ring);
        }
        scheduler.at(instance, scheduler.between(1, world.commitInterval()), this::work);
    }

    private void ring(Walsender walsender) {
        if (!walsender.pumping) {
            walsender.pumping = true;
            scheduler.at(instance, scheduler.jitter(), () -> pump(walsender));
        }
    }

    private void pump(Walsender to) {
        to.pumping = false;
        Lsn end = end();
        if (!to.connection.isServerOpen()) {
            return;
        }
        if (to.sent.isBefore(end)) {
            Lsn next = to.sent.plus(Math.min(end.minus(to.sent), scheduler.between(1, MOST_MESSAGE)));
            GenerationWal written = wal;
            if (written != null) {
                to.connection.send(
                        new ReplicationMessage.Wal(to.sent, world.checker().read(written.lineage(), to.sent, next)));
            }
            to.sent = next;
            ring(to);
        } else {
            to.streaming = true;
            release();
        }
    }

    private void release() {
        Lsn quorum = walsenders.stream()
                .filter(each -> each.streaming && !each.flushed.equals(Lsn.ZERO))
                .map(each -> each.flushed)
                .sorted(Comparator.reverseOrder())
                .skip(SafekeeperId.QUORUM - 1)
                .findFirst()
                .orElse(Lsn.ZERO);
        while (!waiting.isEmpty() && !waiting.getFirst().isAfter(quorum)) {
            Lsn commit = waiting.removeFirst();
            scheduler.say(() -> "acknowledges " + commit);
            world.checker().acknowledged(generation(), commit);
            owner.worked();
        }
        if (quorum.isAfter(start.end()) && scheduler.chance(0.02)) {
            kept = Lsn.max(kept, quorum.segmentStart(GenerationWal.SEGMENT_SIZE));
        }
        if (stopping && walsenders.stream().allMatch(each -> each.flushed.equals(end()))) {
            scheduler.at(null, 0, this::kill);
        }
    }

    private void tick() {
        for (Walsender each : List.copyOf(walsenders)) {
            long silent = scheduler.now() - each.heard;
            if (silent > SENDER_TIMEOUT) {
                each.connection.closeServer();
            } else if (silent > SENDER_TIMEOUT / 2) {
                each.connection.send(new ReplicationMessage.Keepalive(end(), true));
            }
        }
        slots.values().forEach(this::keepAlive);
        scheduler.at(instance, Scheduler.SECOND, this::tick);
    }

    /** The kernel's probes, for connections that do not stream yet. */
    private void keepAlive(SimConnection idle) {
        boolean streams = walsenders.stream().anyMatch(each -> each.connection.equals(idle));
        if (idle.isServerOpen() && !streams && !idle.isInUse()) {
            scheduler.at(instance, KEEPALIVE, idle::closeServer);
        }
    }

    /** The slot that keeps what the quorum lacks has kept more than max_slot_wal_keep_size. */
    void invalidateSlot() {
        kept = Lsn.max(kept, end().segmentStart(GenerationWal.SEGMENT_SIZE));
    }

    /** A fast shutdown: what was written goes to whoever is connected, then it ends. */
    void stop() {
        stopping = true;
        scheduler.say(() -> instance + " stops in order");
        world.coverage().count(Visited.ORDERLY_STOPS);
        GenerationWal written = wal;
        if (written != null) {
            written.record(80);
            walsenders.forEach(this::ring);
        }
        scheduler.at(null, 3 * Scheduler.SECOND, this::kill);
    }

    /** Ends at once and leaves nothing. */
    void kill() {
        if (instance.isAlive()) {
            scheduler.say(() -> instance + " ends");
            world.network().instanceDied(instance, false);
            scheduler.kill(instance);
            owner.ended(this);
        }
    }

    @Override
    public ReplicationConnection.Identity identify(SimConnection connection) {
        return new ReplicationConnection.Identity(world.base().systemIdentifier(), generation(), end());
    }

    /** A temporary replication slot: there is one of a name. */
    @Override
    public void claim(SimConnection connection, String name) throws ReplicationException {
        SimConnection holder = slots.get(name);
        if (holder != null && holder.isServerOpen()) {
            world.coverage().count(Visited.CONNECTIONS_WHILE_THE_FORMER_WAS_HALF_OPEN);
            throw new ReplicationException("replication slot \"" + name + "\" already exists", "42710");
        }
        slots.put(name, connection);
    }

    @Override
    public void start(SimConnection connection, Lsn from, int requested) throws ReplicationException {
        if (requested != generation() || from.isAfter(end())) {
            throw new ReplicationException("cannot stream from " + from + " of generation=" + requested, "55000");
        }
        if (from.isBefore(kept)) {
            world.coverage().count(Visited.FILLED_FROM_PEER_INSTEAD_OF_WRITER);
            throw new ReplicationException("requested WAL segment has already been removed", "58P01");
        }
        Walsender next = new Walsender(connection, from, scheduler.now());
        walsenders.add(next);
        ring(next);
    }

    @Override
    public void status(SimConnection connection, Lsn flushed) {
        walsenders.stream().filter(each -> each.connection.equals(connection)).forEach(each -> {
            each.flushed = flushed;
            each.heard = scheduler.now();
        });
        release();
    }

    @Override
    public void closed(SimConnection connection) {
        walsenders.removeIf(each -> each.connection.equals(connection));
    }
}
