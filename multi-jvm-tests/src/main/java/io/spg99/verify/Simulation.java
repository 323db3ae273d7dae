package io.spg99.verify;

import io.spg99.storage.safekeeper.SafekeeperCommand;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.SafekeeperReply;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.verify.Coverage.Visited;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.pekko.actor.typed.ActorRef;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;

/**
 * One run under one seed: three Safekeepers, owners that crash and compete, their writers, a reader, and everything that can
 * go wrong. After a while nothing goes wrong any more; then it has to come to rest: a writer at work, three Safekeepers in step.
 */
final class Simulation {

    private static final List<String> COMPUTES = List.of("n1", "n2", "n3");
    private static final String READER = "reader";

    /** After this long without faults a writer must be at work. */
    private static final long PATIENCE = 90 * Scheduler.SECOND;

    private final Coverage coverage = new Coverage();
    private final Scheduler scheduler;
    private final Logger logger;
    private final Network network;
    private final Checker checker;
    private final ArchiveSim archive;
    private final TimelineBase base;
    private final Map<SafekeeperId, SafekeeperSim> safekeepers = new TreeMap<>();
    private final List<OwnerSim> owners = new ArrayList<>();
    private final List<String> machines = new ArrayList<>(COMPUTES);

    /** What the receptionist lists. */
    private final Map<SafekeeperId, ActorRef<SafekeeperCommand>> registered = new TreeMap<>();

    /** The journal of the Database actor. */
    private boolean created;

    private int lastGeneration = TimelineBase.CREATION;
    private @Nullable OwnerSim incumbent;

    // What this seed is like.
    private final long faultEvery;
    private final long faultsUntil;
    private final long commitInterval;
    private final boolean dueling;

    /** Of every Safekeeper. */
    private final long maxWal;

    /** Disks are lost just when they have promised something, and replaced at once. */
    private final boolean forgetful;

    private final Map<Fault, Integer> weights = new EnumMap<>(Fault.class);
    private boolean calm;

    /** There were two owners at a time. */
    private boolean competed;

    private int ownersStarted;

    private enum Fault {
        KILL_SAFEKEEPER,
        CUT_POWER,
        DIE_IN_THE_MIDDLE,
        FAIL_SYNC,
        FILL_DISK,
        LOSE_DISK,
        BLOCK_WAY,
        ISOLATE,
        RESET,
        CRASH_OWNER,
        SECOND_OWNER,
        CRASH_WRITER,
        STOP_WRITER,
        INVALIDATE_SLOT
    }

    /** Runs one seed to its end. @throws Violation if a rule is broken */
    static Coverage run(long seed, Trace trace) {
        return new Simulation(seed, trace).run();
    }

    private Simulation(long seed, Trace trace) {
        this.scheduler = new Scheduler(seed, trace);
        this.logger = trace.logger(scheduler);
        this.network = new Network(scheduler, coverage);
        GenerationWal creation = GenerationWal.creation(scheduler.random().split());
        this.base = creation.base();
        this.checker = new Checker(scheduler, coverage, creation);
        this.archive = new ArchiveSim(base, checker, coverage);
        faultEvery = scheduler.between(100, 1500) * Scheduler.MILLI;
        faultsUntil = scheduler.between(4, 14) * Scheduler.SECOND;
        commitInterval = scheduler.between(20, 200) * Scheduler.MILLI;
        dueling = scheduler.chance(0.3);
        maxWal = scheduler.chance(0.5) ? Long.MAX_VALUE : scheduler.between(1, 4) * GenerationWal.SEGMENT_SIZE;
        forgetful = scheduler.chance(0.2);
        // Every seed has its own mixture, and lacks some kinds altogether.
        for (Fault fault : Fault.values()) {
            weights.put(fault, scheduler.chance(0.4) ? 0 : scheduler.random().nextInt(1, 10));
        }
        weights.merge(Fault.KILL_SAFEKEEPER, 1, Integer::sum);
        network.trouble(
                scheduler.chance(0.5) ? 0 : scheduler.random().nextDouble() * 0.1,
                scheduler.chance(0.5) ? 0 : scheduler.random().nextDouble() * 0.1,
                scheduler.chance(0.5) ? 0 : scheduler.random().nextDouble() * 0.2);
        SafekeeperId.ALL.forEach(id -> {
            safekeepers.put(id, new SafekeeperSim(id, this));
            machines.add(id.value());
        });
        machines.add(READER);
    }

    Scheduler scheduler() {
        return scheduler;
    }

    Coverage coverage() {
        return coverage;
    }

    Logger logger() {
        return logger;
    }

    Network network() {
        return network;
    }

    Checker checker() {
        return checker;
    }

    ArchiveSim archive() {
        return archive;
    }

    TimelineBase base() {
        return base;
    }

    long commitInterval() {
        return commitInterval;
    }

    long maxWal() {
        return maxWal;
    }

    /** Nothing goes wrong any more. */
    boolean isCalm() {
        return calm;
    }

    private Coverage run() {
        network.onStatus((connection, flushed) -> {
            int generation = connection.server().generation();
            if (generation > 0) {
                checker.reported(safekeeper(connection.client()), generation, flushed);
            }
        });
        safekeepers.values().forEach(SafekeeperSim::start);
        newOwner();
        new ReaderSim(this);
        scheduler.at(null, scheduler.between(200, 2000) * Scheduler.MILLI, this::nemesis);
        try {
            runUntil(faultsUntil);
            becomeCalm();
            runUntilAtRest();
        } finally {
            scheduler.close();
        }
        return coverage;
    }

    private void runUntil(long end) {
        while (scheduler.now() < end && scheduler.step()) {
            afterStep();
        }
    }

    private void afterStep() {
        for (SafekeeperSim safekeeper : safekeepers.values()) {
            scheduler.as(safekeeper.instance(), () -> checker.changed(safekeeper));
            safekeeper.afterStep();
        }
    }

    private void runUntilAtRest() {
        long end = scheduler.now() + PATIENCE;
        while (!isAtRest()) {
            if (scheduler.now() > end) {
                throw new Violation("liveness", "nothing goes wrong any more, and still there is no rest: " + state());
            }
            long until = scheduler.now() + 200 * Scheduler.MILLI;
            runUntil(until);
        }
    }

    private boolean isAtRest() {
        OwnerSim owner = incumbent;
        WriterSim writer = owner == null ? null : owner.writer();
        return owner != null
                && writer != null
                && owner.isReady()
                && owner.hasWorked()
                && safekeepers.values().stream().allMatch(safekeeper -> isInStep(safekeeper, writer));
    }

    private static boolean isInStep(SafekeeperSim safekeeper, WriterSim writer) {
        var view = safekeeper.view();
        return view != null && view.generation() == writer.generation() && safekeeper.isVoter();
    }

    private String state() {
        StringBuilder text = new StringBuilder();
        safekeepers
                .values()
                .forEach(each ->
                        text.append(each).append('=').append(each.view()).append(' '));
        OwnerSim owner = incumbent;
        WriterSim writer = owner == null ? null : owner.writer();
        return text.append("writer=")
                .append(writer == null ? "none" : writer.instance() + " ready=" + (owner != null && owner.isReady()))
                .toString();
    }

    private void becomeCalm() {
        calm = true;
        scheduler.say(() -> "from here on nothing goes wrong");
        network.trouble(0, 0, 0);
        network.unblockAll();
        safekeepers.values().forEach(safekeeper -> {
            safekeeper.dieAfter(-1, false);
            safekeeper.disk().full(false);
            if (!safekeeper.isUp()) {
                safekeeper.start();
            }
        });
        if (competed) {
            // Nobody tells an owner whose writer is ready already that another one has superseded it.
            owners.forEach(OwnerSim::crash);
        }
        owners.forEach(OwnerSim::forgetWork);
        ensureOwner();
    }

    // Safekeepers

    private SafekeeperSim safekeeper(Instance instance) {
        return safekeepers.values().stream()
                .filter(each -> instance.machine().equals(each.id().value()))
                .findFirst()
                .orElseThrow();
    }

    /** A Safekeeper's answer leaves for an owner. */
    void leaves(SafekeeperReply reply, Instance to) {
        Instance from = scheduler.current();
        SafekeeperSim safekeeper = safekeepers.get(reply.safekeeper());
        if (from != null && from.isAlive() && safekeeper != null && from.equals(safekeeper.instance())) {
            safekeeper.leaves(reply, to);
            if (reply instanceof SafekeeperReply.Promised && forgetful && owners.size() > 1 && scheduler.chance(0.1)) {
                // A promise that supersedes somebody, and is forgotten.
                later(300, () -> {
                    if (!calm) {
                        loseDisk(safekeeper);
                    }
                });
            }
        }
    }

    Map<SafekeeperId, ActorRef<SafekeeperCommand>> reachable() {
        return new LinkedHashMap<>(registered);
    }

    void registered(SafekeeperSim safekeeper, ActorRef<SafekeeperCommand> ref) {
        scheduler.at(null, scheduler.between(1, calm ? 10 : 600) * Scheduler.MILLI, () -> {
            if (safekeeper.isAt(ref)) {
                registered.put(safekeeper.id(), ref);
            }
        });
    }

    void unregistered(SafekeeperSim safekeeper, ActorRef<SafekeeperCommand> ref) {
        scheduler.at(null, scheduler.between(1, 3000) * Scheduler.MILLI, () -> registered.remove(safekeeper.id(), ref));
    }

    void restartLater(SafekeeperSim safekeeper) {
        scheduler.at(null, scheduler.between(10, 2500) * Scheduler.MILLI, () -> {
            if (!safekeeper.isUp()) {
                safekeeper.start();
            }
        });
    }

    // Owners

    boolean isCreated() {
        return created;
    }

    void created() {
        created = true;
    }

    /** The journal takes events of one owner only, unless the seed says that even this does not hold. */
    boolean mayPersist(OwnerSim owner) {
        return (dueling && !calm) || owner.equals(incumbent);
    }

    int nextGeneration(int above) {
        lastGeneration = Math.max(lastGeneration, above) + 1;
        return lastGeneration;
    }

    boolean hasOtherOwner(OwnerSim owner) {
        return owners.stream().anyMatch(other -> other.isAlive() && !other.equals(owner));
    }

    private void newOwner() {
        OwnerSim next = new OwnerSim(this, COMPUTES.get(scheduler.random().nextInt(COMPUTES.size())), ++ownersStarted);
        owners.removeIf(owner -> !owner.isAlive());
        competed |= !owners.isEmpty();
        owners.add(next);
        incumbent = next;
    }

    private void ensureOwner() {
        OwnerSim owner = incumbent;
        if (owner == null || !owner.isAlive()) {
            newOwner();
        }
    }

    // What goes wrong

    private void nemesis() {
        if (calm) {
            return;
        }
        int total = 0;
        for (int weight : weights.values()) {
            total += weight;
        }
        int pick = scheduler.random().nextInt(total);
        for (Map.Entry<Fault, Integer> fault : weights.entrySet()) {
            pick -= fault.getValue();
            if (pick < 0) {
                strike(fault.getKey());
                break;
            }
        }
        scheduler.at(null, scheduler.between(1, 2 * faultEvery), this::nemesis);
    }

    private void strike(Fault fault) {
        SafekeeperSim safekeeper =
                List.copyOf(safekeepers.values()).get(scheduler.random().nextInt(safekeepers.size()));
        OwnerSim owner = owners.get(scheduler.random().nextInt(owners.size()));
        WriterSim writer = owner.writer();
        scheduler.say(() -> "fault: " + fault + " (" + safekeeper + ", " + owner.instance() + ")");
        switch (fault) {
            case KILL_SAFEKEEPER -> killNow(safekeeper, false);
            case CUT_POWER -> killNow(safekeeper, true);
            case DIE_IN_THE_MIDDLE -> safekeeper.dieAfter(scheduler.random().nextInt(12), scheduler.chance(0.6));
            case FAIL_SYNC -> safekeeper.disk().failNextSync();
            case FILL_DISK -> {
                coverage.count(Visited.FULL_DISKS);
                safekeeper.disk().full(true);
                later(3000, () -> safekeeper.disk().full(false));
            }
            case LOSE_DISK -> loseDisk(safekeeper);
            case BLOCK_WAY -> {
                String from = machines.get(scheduler.random().nextInt(machines.size()));
                String to = machines.get(scheduler.random().nextInt(machines.size()));
                coverage.count(Visited.PARTITIONS);
                network.block(from, to);
                later(6000, () -> network.unblock(from, to));
            }
            case ISOLATE -> {
                String alone = machines.get(scheduler.random().nextInt(machines.size()));
                coverage.count(Visited.PARTITIONS);
                machines.forEach(other -> isolate(alone, other));
                later(
                        4000,
                        () -> machines.forEach(other -> {
                            network.unblock(alone, other);
                            network.unblock(other, alone);
                        }));
            }
            case RESET -> {
                List<SimConnection> open = network.connections();
                if (!open.isEmpty()) {
                    coverage.count(Visited.CONNECTIONS_RESET);
                    open.get(scheduler.random().nextInt(open.size())).reset();
                }
            }
            case CRASH_OWNER -> {
                coverage.count(Visited.OWNERS_CRASHED);
                owner.crash();
                later(2500, this::ensureOwner);
            }
            case SECOND_OWNER -> newOwner();
            case CRASH_WRITER -> {
                if (writer != null) {
                    coverage.count(Visited.WRITERS_CRASHED);
                    writer.kill();
                }
            }
            case STOP_WRITER -> {
                if (writer != null && owner.isReady()) {
                    writer.stop();
                }
            }
            case INVALIDATE_SLOT -> {
                if (writer != null) {
                    writer.invalidateSlot();
                }
            }
        }
    }

    private void isolate(String alone, String other) {
        if (!alone.equals(other)) {
            network.block(alone, other);
            network.block(other, alone);
        }
    }

    private void killNow(SafekeeperSim safekeeper, boolean powerCut) {
        if (safekeeper.isUp()) {
            safekeeper.kill(powerCut);
            restartLater(safekeeper);
        }
    }

    private void later(long mostMillis, Runnable action) {
        scheduler.at(null, scheduler.between(1, mostMillis) * Scheduler.MILLI, action);
    }

    private void loseDisk(SafekeeperSim safekeeper) {
        if (othersVote(safekeeper)) {
            safekeeper.loseDisk();
            checker.lost(safekeeper, safekeepers.values());
            if (forgetful) {
                later(100, () -> {
                    if (!safekeeper.isUp()) {
                        safekeeper.start();
                    }
                });
            } else {
                restartLater(safekeeper);
            }
        }
    }

    /** One disk at a time: the two others have a say and have all of it between them. */
    private boolean othersVote(SafekeeperSim safekeeper) {
        return created && safekeepers.values().stream().allMatch(other -> other.equals(safekeeper) || other.isVoter());
    }
}
