package io.spg99.verify;

import io.spg99.nodes.safekeeper.TimelineProtocol;
import io.spg99.nodes.safekeeper.log.TimelineLog;
import io.spg99.nodes.safekeeper.log.WalDisk;
import io.spg99.nodes.safekeeper.serve.ServedStream;
import io.spg99.nodes.safekeeper.serve.ServedTimeline;
import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.replication.ReplicationMessage;
import io.spg99.storage.safekeeper.SafekeeperCommand;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.SafekeeperReply;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.verify.Coverage.Visited;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import org.apache.pekko.actor.typed.ActorRef;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;

/** A Safekeeper's machine, its disk, and the program that runs on it for the time being. */
final class SafekeeperSim {

    static final TlsIdentity IDENTITY = identity("safekeeper");
    static final TlsIdentity COMPUTE = identity("compute");

    private static final int PORT = 1;

    /** What a chunk is at most, so that a reader is served in several steps. */
    private static final int CHUNK = 12_000;

    private final SafekeeperId id;
    private final Simulation world;
    private final Scheduler scheduler;
    private final Coverage coverage;
    private final Logger logger;
    private SimDisk disk;

    private @Nullable Instance instance;
    private @Nullable TimelineProtocol protocol;
    private @Nullable SimRef<SafekeeperCommand> ref;
    private Map<TimelineId, ServedTimeline> served = new HashMap<>();

    /** Running streams by number: the order in which they are woken must not be a hash table's. */
    private final Map<Integer, Sending> sending = new TreeMap<>();

    private int streams;

    /** Highest promise that was ever answered, unless the disk was lost since. */
    private int answeredPromise;

    private TimelineLog.@Nullable View verified;
    private boolean establishing;
    private boolean diedCutting;

    private boolean diskLost;

    /** Steps of the disk until the machine, or the process, dies; negative: never. */
    private int stepsLeft = -1;

    private boolean powerCutNext;
    private boolean opening;

    private static TlsIdentity identity(String name) {
        return new TlsIdentity(Path.of(name), Path.of(name), Path.of(name), Path.of(name));
    }

    SafekeeperSim(SafekeeperId id, Simulation world) {
        this.id = id;
        this.world = world;
        this.scheduler = world.scheduler();
        this.coverage = world.coverage();
        this.logger = world.logger();
        this.disk = newDisk();
    }

    private SimDisk newDisk() {
        return new SimDisk(
                scheduler, coverage, GenerationWal.SEGMENT_SIZE, this::diskStep, this::writing, this::removing);
    }

    SafekeeperId id() {
        return id;
    }

    SimDisk disk() {
        return disk;
    }

    @Nullable
    Instance instance() {
        return instance;
    }

    boolean isUp() {
        return instance != null;
    }

    /** True if that ref leads to the program that runs now. */
    boolean isAt(ActorRef<SafekeeperCommand> address) {
        return address.equals(ref);
    }

    int answeredPromise() {
        return answeredPromise;
    }

    boolean diedCutting() {
        return diedCutting;
    }

    @Override
    public String toString() {
        return id.value();
    }

    // Life

    void start() {
        network().machineDown(id.value(), false);
        Instance next = new Instance(id.value(), id.value());
        instance = next;
        served = new HashMap<>();
        sending.clear();
        SimTimers<TimelineProtocol.Message> timers = new SimTimers<>(scheduler, next, this::onMessage);
        SimRef<TimelineProtocol.Message> self = new SimRef<>(id + "-timeline", message -> {
            if (next.isAlive()) {
                scheduler.at(next, scheduler.jitter(), () -> onMessage(message));
            }
        });
        scheduler.say(() -> id + " starts");
        opening = true;
        scheduler.as(
                next,
                () -> protocol = new TimelineProtocol(
                        GenerationWal.TIMELINE,
                        new TimelineProtocol.World(
                                id,
                                IDENTITY,
                                () -> new WalSource(id, id.value(), PORT),
                                new Disks(),
                                served,
                                network().connector(next),
                                world.maxWal(),
                                new SimThreads(scheduler, next, this::promisedNow),
                                self,
                                timers,
                                () -> logger)));
        opening = false;
        if (!next.isAlive()) {
            return;
        }
        TimelineLog.View known = verified;
        TimelineLog.View found = view();
        if (known != null && found != null) {
            world.checker().reopened(this, known, found);
            diedCutting = false;
        }
        network().listen(id.value(), PORT, new Network.Endpoint(next, new WalService()));
        SimRef<SafekeeperCommand> door = new SimRef<>(
                id.value(),
                command -> network().send(next, () -> {
                    scheduler.say(() -> "<- " + command);
                    establishing = command instanceof SafekeeperCommand.Establish;
                    onMessage(new TimelineProtocol.Told(command));
                    establishing = false;
                }));
        ref = door;
        world.registered(this, door);
    }

    private int promisedNow() {
        TimelineLog.View view = view();
        return view == null ? 0 : view.promised();
    }

    private void onMessage(TimelineProtocol.Message message) {
        TimelineProtocol running = protocol;
        if (running != null) {
            running.onMessage(message);
        }
    }

    /** The program ends at once; with {@code powerCut} the whole machine does. */
    void kill(boolean powerCut) {
        Instance running = instance;
        if (running == null) {
            return;
        }
        if (opening) {
            coverage.count(Visited.CRASHES_IN_RECOVERY);
        }
        coverage.count(powerCut ? Visited.SAFEKEEPER_MACHINES_CRASHED : Visited.SAFEKEEPER_PROCESSES_KILLED);
        scheduler.say(() -> id + (powerCut ? " loses power" : " is killed"));
        diedCutting |= establishing;
        establishing = false;
        stepsLeft = -1;
        instance = null;
        protocol = null;
        SimRef<SafekeeperCommand> door = ref;
        ref = null;
        if (door != null) {
            world.unregistered(this, door);
        }
        network().machineDown(id.value(), powerCut);
        network().instanceDied(running, powerCut);
        scheduler.kill(running);
        if (powerCut) {
            disk.powerCut();
        }
    }

    /** Dies soon, in the middle of something. */
    void dieAfter(int steps, boolean powerCut) {
        stepsLeft = steps;
        powerCutNext = powerCut;
    }

    private void diskStep() {
        if (stepsLeft == 0) {
            kill(powerCutNext);
            world.restartLater(this);
            throw new Killed();
        }
        if (stepsLeft > 0) {
            stepsLeft--;
        }
    }

    /** An empty disk takes the place of this one. */
    void loseDisk() {
        kill(true);
        coverage.count(Visited.DISKS_LOST);
        scheduler.say(() -> id + " has lost its disk");
        disk = newDisk();
        diskLost = true;
        answeredPromise = 0;
        verified = null;
        diedCutting = false;
    }

    /** True if its word counts: it has a log, and that was not begun again after a loss, nor created again. */
    boolean isVoter() {
        if (!disk.isBegun()) {
            return false;
        }
        try {
            TimelineLog log = TimelineLog.open(disk.afterPowerCut());
            boolean reborn = diskLost && log != null && log.view().established() == TimelineBase.CREATION;
            return log != null && !log.isRestored() && !reborn;
        } catch (IOException e) {
            return false;
        }
    }

    private void writing() {
        Fiber fiber = scheduler.fiber();
        if (fiber != null) {
            world.checker().taken(this, fiber.tag());
        }
    }

    private void removing(long number) {
        Lsn position = new Lsn(number * GenerationWal.SEGMENT_SIZE);
        coverage.count(Visited.SEGMENTS_REMOVED);
        TimelineLog.View view = view();
        if (view != null && view.history().last().begin().isBefore(position)) {
            coverage.count(Visited.SEGMENTS_OF_THE_RUNNING_GENERATION_REMOVED);
        }
        world.checker().removed(this, position, world.archive().newest().horizon());
    }

    private Network network() {
        return world.network();
    }

    private final class Disks implements TimelineProtocol.Disks {
        @Override
        public @Nullable WalDisk existing() {
            return disk.isBegun() ? disk : null;
        }

        @Override
        public WalDisk create(int segmentSize) {
            return disk;
        }

        @Override
        public void delete() {
            throw new Violation("W6", id + " removes the timeline");
        }
    }

    // What it shows

    /** What its log says; null if it does not run or has none. */
    TimelineLog.@Nullable View view() {
        ServedTimeline timeline = served.get(GenerationWal.TIMELINE);
        return instance == null || timeline == null ? null : timeline.view();
    }

    /** View that was last found true. */
    TimelineLog.@Nullable View verified() {
        return verified;
    }

    void verified(TimelineLog.View view) {
        if (verified != null
                && !verified.history()
                        .commonEnd(verified.flushed(), view.history(), view.flushed())
                        .equals(verified.flushed())) {
            coverage.count(Visited.DIVERGENT_TAILS_CUT);
        }
        if (verified != null && verified.flushed().isBefore(view.horizon())) {
            coverage.count(Visited.LOGS_BEGUN_AT_THE_HORIZON);
        }
        verified = view;
        diedCutting = false;
    }

    /** An answer leaves. */
    void leaves(SafekeeperReply reply, Instance to) {
        scheduler.say(() -> "-> " + to + " " + reply);
        switch (reply) {
            case SafekeeperReply.Promised promised -> {
                coverage.count(Visited.PROMISES);
                answeredPromise = Math.max(answeredPromise, promised.generation());
                world.checker().changed(this);
                world.checker().promised(this, promised.generation(), promised.history(), promised.flushed());
                world.checker()
                        .followsNobodyBelow(
                                this, promised.generation(), network().connections());
            }
            case SafekeeperReply.Established established -> {
                world.checker().changed(this);
                world.checker().established(this, established.end());
            }
            case SafekeeperReply.Position position -> {
                if (position.full()) {
                    coverage.count(Visited.REPORTS_OF_FULL_SAFEKEEPERS);
                }
                world.checker().reported(this, position.generation(), position.flushed());
            }
            case SafekeeperReply.Refused refused -> coverage.count(Visited.REFUSALS);
            case SafekeeperReply.Restored restored -> coverage.count(Visited.DISKS_RESTORED);
            case SafekeeperReply.Created created -> {}
            case SafekeeperReply.UnknownTimeline unknown -> {}
            case SafekeeperReply.Detached detached -> {}
            case SafekeeperReply.Stranded stranded -> {}
            case SafekeeperReply.Deleted deleted -> {}
            case SafekeeperReply.Failed failed -> {}
        }
    }

    // The WAL server

    private static final class Sending {
        private final SimConnection connection;
        private final ServedStream stream;
        private final ServedTimeline timeline;
        private boolean rung;
        private boolean quiet = true;
        private Runnable bell = () -> {};

        Sending(SimConnection connection, ServedStream stream, ServedTimeline timeline) {
            this.connection = connection;
            this.stream = stream;
            this.timeline = timeline;
        }
    }

    /** After each step: whom the bell was rung for is sent what there is. */
    void afterStep() {
        Instance running = instance;
        if (running == null || sending.isEmpty()) {
            return;
        }
        for (Sending each : sending.values()) {
            if (each.rung) {
                each.rung = false;
                scheduler.at(running, scheduler.jitter(), () -> pump(each));
            }
        }
    }

    private void pump(Sending to) {
        if (!to.connection.isServerOpen() || !sending.containsValue(to)) {
            return;
        }
        try {
            Lsn end = to.stream.end();
            if (to.stream.isOver()) {
                end(to.connection);
                to.connection.sendEnd();
                return;
            }
            Lsn at = to.stream.position();
            if (!at.isBefore(end)) {
                return;
            }
            ByteBuffer chunk = ByteBuffer.allocate((int) Math.min(end.minus(at), scheduler.between(1, CHUNK)));
            to.stream.read(chunk, end);
            chunk.flip();
            if (to.connection.isPeer()) {
                world.checker().right(to.stream.lineage(), at, chunk);
            } else {
                world.checker().given(this, to.stream.lineage(), at, chunk);
            }
            to.quiet = false;
            to.connection.send(new ReplicationMessage.Wal(at, chunk));
            to.rung = true;
        } catch (IOException e) {
            scheduler.say(() -> "ends a stream: " + e.getMessage());
            to.connection.closeServer();
        }
    }

    private void end(SimConnection connection) {
        sending.values().removeIf(each -> {
            boolean its = each.connection.equals(connection);
            if (its) {
                each.timeline.unlisten(each.bell);
            }
            return its;
        });
    }

    private void tick(Sending to) {
        Instance running = instance;
        if (running == null || !sending.containsValue(to)) {
            return;
        }
        if (to.quiet) {
            to.connection.send(new ReplicationMessage.Keepalive(to.timeline.limit(to.connection.isPeer()), false));
        }
        to.quiet = true;
        to.rung = true;
        scheduler.at(running, Scheduler.SECOND, () -> tick(to));
    }

    private final class WalService implements SimConnection.Server {

        @Override
        public ReplicationConnection.Identity identify(SimConnection connection) throws ReplicationException {
            ServedTimeline timeline = timeline();
            return new ReplicationConnection.Identity(
                    timeline.base().systemIdentifier(),
                    timeline.view().generation(),
                    timeline.limit(connection.isPeer()));
        }

        private ServedTimeline timeline() throws ReplicationException {
            ServedTimeline timeline = served.get(GenerationWal.TIMELINE);
            if (timeline == null) {
                throw new ReplicationException("timeline is not served here", "3D000");
            }
            return timeline;
        }

        @Override
        public void claim(SimConnection connection, String name) throws ReplicationException {
            throw new ReplicationException("no slots here", "0A000");
        }

        @Override
        public void start(SimConnection connection, Lsn from, int generation) throws ReplicationException {
            ServedTimeline timeline = timeline();
            ServedStream stream = ServedStream.open(timeline, connection.isPeer(), from, generation);
            if (connection.isPeer()) {
                coverage.count(Visited.PEER_RECOVERIES);
            }
            Sending next = new Sending(connection, stream, timeline);
            next.bell = () -> next.rung = true;
            next.rung = true;
            sending.put(streams++, next);
            timeline.listen(next.bell);
            Instance running = instance;
            if (running != null) {
                scheduler.at(running, Scheduler.SECOND, () -> tick(next));
            }
        }

        @Override
        public void status(SimConnection connection, Lsn flushed) {}

        @Override
        public void closed(SimConnection connection) {
            boolean unfinished = sending.values().stream()
                    .anyMatch(each -> each.connection.equals(connection)
                            && each.stream.position().isBefore(each.timeline.limit(true)));
            if (unfinished && connection.isPeer()) {
                coverage.count(Visited.PEER_RECOVERIES_BROKEN_OFF);
            }
            end(connection);
        }
    }
}
