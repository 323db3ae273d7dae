package io.spg99.lifecycle.database;

import io.spg99.compute.generation.GenerationCommand;
import io.spg99.compute.generation.GenerationEvent;
import io.spg99.compute.generation.Recovery;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.pool.FreezeEvent;
import io.spg99.gateway.pool.PoolsCommand;
import io.spg99.lifecycle.database.DatabaseState.Existing;
import io.spg99.lifecycle.database.event.DatabaseEvent;
import io.spg99.lifecycle.database.event.DatabaseEvent.CandidateStarting;
import io.spg99.lifecycle.database.event.DatabaseEvent.CooldownEnded;
import io.spg99.lifecycle.database.event.DatabaseEvent.DrainStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.FreezeStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffAbandoned;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffCompleted;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffFailed;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffPostponed;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.WriterStopping;
import io.spg99.lifecycle.database.event.DatabaseEvent.WriterSwitched;
import io.spg99.storage.quorum.QuorumEvent;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.wal.Lsn;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Consumer;

/**
 * A change of profile: part of the Database actor, which asks it what to do next with everything that happens, and persists the
 * events of its {@link Step}s before it acts on them.
 *
 * <pre>
 * state         it happens                          it does
 * STEADY        another profile is chosen           HandoffStarted; writer: ShareHot; candidate spawned
 * PREPARING     the WAL's end is heard of           candidate: Recover, and follow from there
 * PREPARING     the candidate has caught up         writer: PrepareHandOver
 * PREPARING     it does not answer                  HandoffPostponed; again after a while
 * PREPARING     it is ready, no long transaction    FreezeStarted; pools: Freeze
 * FREEZING      at once                             DrainStarted
 * DRAINING      Drained                             WriterStopping; writer: HandOver, pools: WriterGone
 * DRAINING      the limit passes                    HandoffPostponed; pools: Resume; again after a while
 * STOPPING_OLD  HandedOver, or the limit passes     CandidateStarting; quorum: Prepare
 * STARTING_NEW  Prepared                            candidate: TakeOver
 * STARTING_NEW  Accepting                           pools: WriterComing; quorum: Follow
 * STARTING_NEW  Configured and Following            WriterSwitched; pools: WriterReady; HandoffCompleted
 * COOLDOWN      its time is over                    CooldownEnded
 * before STOPPING_OLD  the candidate is lost        HandoffAbandoned; again after a while; HandoffFailed after too many
 * from STOPPING_OLD on anything goes wrong          as if the writer were lost: the next generation starts the usual way
 * </pre>
 */
final class Handoff {

    /** What happens next: events to persist, perhaps none, then what is done about them. */
    sealed interface Step {}

    record Go(String reason, List<DatabaseEvent> events, Consumer<Existing> then) implements Step {}

    /** There is no writer any more and no candidate that could be one. */
    record Lost(String reason) implements Step {}

    private static final Step NOTHING = new Go("", List.of(), state -> {});

    enum Timer {
        PREPARE,
        ANSWER,
        RETRY,
        DRAIN,
        STOP,
        SWITCH,
        COOLDOWN
    }

    /** What it does through the actor. */
    interface World {
        void spawnCandidate(Existing database, int generation);

        /** Kills the candidate, whose end is not waited for. */
        void dropCandidate();

        void tellCandidate(GenerationCommand command);

        void tellWriter(GenerationCommand command);

        void tellPools(PoolsCommand command);

        void freeze(Existing database, Duration limit);

        /** The answer comes to {@link Handoff#onQuorum}. */
        void prepare(Existing database, int generation);

        void follow(Existing database, int generation, WriterAddress writer);

        /** The candidate is the writer from now on: Gateways are told. */
        void switched(Existing database);

        /** Brings {@link Handoff#proceed} about, after what is being done now. */
        void proceedSoon();

        void start(Timer timer, Duration after);

        void cancel(Timer timer);

        Instant now();

        void info(String line);
    }

    private final World world;
    private final HandoffTimings timings;
    private final HandoffMetrics metrics;

    /** Lineage of the running writer, once it has written something. */
    private Optional<QuorumEvent.Advanced> lineage = Optional.empty();

    /** The candidate was told where to begin. */
    private boolean recovering;

    /** The writer was asked to get ready, for the freeze that is about to be. */
    private boolean readying;

    /** A time to try again was set. */
    private boolean waiting;

    /** Freezes in a row that came to nothing. */
    private int freezes;

    /** Candidates in a row that failed. */
    private int failures;

    /** Where the candidate takes connections, and what is known of it since. */
    private Optional<WriterAddress> accepting = Optional.empty();

    private boolean following;
    private OptionalInt configured = OptionalInt.empty();
    private final Map<String, Duration> phases = new LinkedHashMap<>();
    private Instant mark;
    private Instant frozenSince;

    /** Past the last step that needs the quorum's answer. */
    private boolean asking;

    Handoff(World world, HandoffTimings timings, HandoffMetrics metrics) {
        this.world = world;
        this.timings = timings;
        this.metrics = metrics;
        this.mark = world.now();
        this.frozenSince = mark;
    }

    private static Step go(String reason, Consumer<Existing> then, DatabaseEvent... events) {
        return new Go(reason, List.of(events), then);
    }

    private static Step act(Runnable action) {
        return new Go("", List.of(), state -> action.run());
    }

    private void phase(String name) {
        Instant now = world.now();
        phases.put(name, Duration.between(mark, now));
        mark = now;
    }

    /** Forgets a handoff, and what was planned. */
    private void reset() {
        recovering = false;
        readying = false;
        accepting = Optional.empty();
        following = false;
        configured = OptionalInt.empty();
        asking = false;
        for (Timer timer : Timer.values()) {
            world.cancel(timer);
        }
        waiting = false;
    }

    /** The writer is gone, or another one came: nothing of what was under way goes on. */
    void over() {
        world.dropCandidate();
        reset();
        lineage = Optional.empty();
        freezes = 0;
    }

    /** A choice was made: what stood in the way of an earlier one does not count. */
    void forgive() {
        failures = 0;
        freezes = 0;
        if (waiting) {
            world.cancel(Timer.RETRY);
            waiting = false;
        }
    }

    /** Looks whether there is something to do, with a writer that is ready. */
    Step proceed(Existing database) {
        return switch (database.scaleState()) {
            case STEADY ->
                database.lifecycle() == Lifecycle.READY
                                && database.chosenProfile() != database.runningProfile()
                                && !waiting
                        ? begin(database)
                        : NOTHING;
            case PREPARING -> reconsider(database);
            case FREEZING -> go("gateways are told", state -> {}, new DrainStarted(world.now()));
            case SWITCHING -> complete();
            case DRAINING, STOPPING_OLD, STARTING_NEW, COOLDOWN, FAILED -> NOTHING;
        };
    }

    private Step begin(Existing database) {
        reset();
        phases.clear();
        mark = world.now();
        int generation = database.nextGeneration();
        return go(
                database.runningProfile() + " to " + database.chosenProfile() + ": "
                        + database.scaling().choice().orElse(""),
                state -> {
                    world.tellWriter(GenerationCommand.ShareHot.INSTANCE);
                    world.spawnCandidate(state, generation);
                    world.start(Timer.PREPARE, timings.prepareLimit());
                    recoverCandidate();
                },
                new HandoffStarted(generation, database.chosenProfile(), world.now()));
    }

    private Step reconsider(Existing database) {
        Optional<io.spg99.lifecycle.model.Profile> preparing =
                database.scaling().preparing();
        return preparing.filter(database.chosenProfile()::equals).isPresent()
                ? NOTHING
                : abandon("another profile was chosen: " + database.chosenProfile(), Duration.ZERO);
    }

    // ---- the candidate catches up --------------------------------------------------------------------------------

    void onAdvanced(Existing database, QuorumEvent.Advanced advanced) {
        if (!advanced.over()
                && advanced.generation() == database.generation()
                && advanced.history().last().generation() == database.generation()) {
            lineage = Optional.of(advanced);
            if (database.scaleState() == ScaleState.PREPARING) {
                recoverCandidate();
            }
        }
    }

    private void recoverCandidate() {
        if (!recovering && lineage.isPresent()) {
            recovering = true;
            QuorumEvent.Advanced now = lineage.get();
            world.tellCandidate(new GenerationCommand.Recover(new Recovery(now.history(), now.end(), now.sources())));
        }
    }

    Step onFollowed(Existing database, GenerationEvent.Followed followed) {
        if (database.scaleState() != ScaleState.PREPARING || waiting || readying || !caughtUp(followed)) {
            return NOTHING;
        }
        readying = true;
        return act(() -> {
            world.cancel(Timer.PREPARE);
            world.start(Timer.ANSWER, timings.answerLimit());
            world.tellWriter(GenerationCommand.PrepareHandOver.INSTANCE);
        });
    }

    private boolean caughtUp(GenerationEvent.Followed followed) {
        Lsn end = lineage.map(QuorumEvent.Advanced::end).orElse(Lsn.ZERO);
        return !followed.replayed().equals(Lsn.ZERO)
                && followed.replayed().plus(timings.lagLimitBytes()).isAfter(Lsn.max(end, followed.received()));
    }

    Step onHandOverPrepared(Existing database, GenerationEvent.HandOverPrepared ready) {
        if (database.scaleState() != ScaleState.PREPARING || !readying) {
            return NOTHING;
        }
        readying = false;
        world.cancel(Timer.ANSWER);
        Optional<Duration> oldest =
                ready.oldestTransaction().filter(age -> age.compareTo(timings.longestTransaction()) > 0);
        if (oldest.isPresent()) {
            return postpone("a transaction has been running for " + oldest.get().toMillis() + " ms: it is waited for");
        }
        if (!phases.containsKey("prepare")) {
            phase("prepare");
        }
        return go(
                "the candidate has caught up",
                state -> {
                    mark = world.now();
                    frozenSince = mark;
                    world.start(Timer.DRAIN, timings.drainLimit());
                    world.proceedSoon();
                    world.freeze(state, timings.freezeLimit());
                },
                new FreezeStarted(world.now()));
    }

    Step onFreeze(Existing database, FreezeEvent event) {
        ScaleState state = database.scaleState();
        if (state != ScaleState.FREEZING && state != ScaleState.DRAINING) {
            return NOTHING;
        }
        return switch (event) {
            case FreezeEvent.Drained drained -> drained(state);
            case FreezeEvent.Thawed thawed ->
                postpone("clients are at work: transactions=" + thawed.running() + " pinned_sessions="
                        + thawed.pinned());
        };
    }

    private Step drained(ScaleState state) {
        world.cancel(Timer.DRAIN);
        phase("drain");
        List<DatabaseEvent> events = new ArrayList<>();
        if (state == ScaleState.FREEZING) {
            events.add(new DrainStarted(world.now()));
        }
        events.add(new WriterStopping(world.now()));
        return new Go("nothing runs", events, after -> {
            freezes = 0;
            world.start(Timer.STOP, timings.stopLimit());
            world.tellWriter(GenerationCommand.HandOver.INSTANCE);
            world.tellPools(new PoolsCommand.WriterGone(LeaseEvent.Reason.WRITER_LOST));
        });
    }

    private Step postpone(String reason) {
        world.cancel(Timer.DRAIN);
        readying = false;
        waiting = true;
        freezes++;
        metrics.ended("postponed");
        Duration wait = timings.retry(freezes);
        return go(
                reason,
                state -> {
                    world.start(Timer.RETRY, wait);
                    world.tellPools(PoolsCommand.Resume.INSTANCE);
                },
                new HandoffPostponed(reason, world.now()));
    }

    private Step abandon(String reason, Duration wait) {
        reset();
        metrics.ended("abandoned");
        waiting = true;
        return go(
                reason,
                state -> {
                    world.dropCandidate();
                    world.tellPools(PoolsCommand.Resume.INSTANCE);
                    world.start(Timer.RETRY, wait);
                },
                new HandoffAbandoned(reason, world.now()));
    }

    /** The candidate has ended, or cannot become what it should. */
    Step onCandidateEnded(Existing database, String reason) {
        return switch (database.scaleState()) {
            case PREPARING, FREEZING, DRAINING -> failed("the candidate failed: " + reason);
            case STOPPING_OLD, STARTING_NEW -> lost("the candidate failed: " + reason);
            case STEADY, SWITCHING, COOLDOWN, FAILED -> NOTHING;
        };
    }

    private Step failed(String reason) {
        failures++;
        if (failures < timings.maxFailures()) {
            return abandon(reason, timings.retry(failures));
        }
        reset();
        metrics.ended("failed");
        return go(
                reason,
                state -> {
                    world.dropCandidate();
                    world.tellPools(PoolsCommand.Resume.INSTANCE);
                },
                new HandoffFailed(reason, world.now()));
    }

    private Step lost(String reason) {
        metrics.ended("lost");
        return new Lost(reason);
    }

    // ---- the switch ----------------------------------------------------------------------------------------------

    /** What it may still write counts for nobody: what two Safekeepers have of it is where the candidate begins. */
    Step onWriterEnded(Existing database) {
        if (database.scaleState() != ScaleState.STOPPING_OLD) {
            return NOTHING;
        }
        world.cancel(Timer.STOP);
        phase("stop");
        asking = true;
        return go(
                "the quorum has the last of the writer's WAL, or it has ended",
                state -> {
                    world.start(Timer.SWITCH, timings.switchLimit());
                    world.prepare(state, state.scaling().candidate());
                },
                new CandidateStarting(world.now()));
    }

    /** An answer of the quorum is awaited here. */
    boolean asks() {
        return asking;
    }

    Step onQuorum(Existing database, Outcome<?> outcome) {
        if (database.scaleState() != ScaleState.STARTING_NEW) {
            return NOTHING;
        }
        if (outcome instanceof Outcome.Ok<?> ok && ok.value() instanceof QuorumReply.Prepared prepared) {
            phase("promise");
            return act(() -> world.tellCandidate(new GenerationCommand.TakeOver(
                    new Recovery(prepared.history(), prepared.end(), prepared.sources()))));
        }
        if (outcome instanceof Outcome.Ok<?> ok && ok.value() instanceof QuorumReply.Following) {
            phase("follow");
            following = true;
            return switchWhenComplete(database);
        }
        return lost("the quorum cannot take the candidate: " + Outcome.why(outcome));
    }

    Step onAccepting(Existing database, GenerationEvent.Accepting event) {
        if (database.scaleState() != ScaleState.STARTING_NEW) {
            return NOTHING;
        }
        phase("take_over");
        accepting = Optional.of(event.writer());
        return new Go(
                "", List.of(), state -> world.follow(state, state.scaling().candidate(), event.writer()));
    }

    Step onConfigured(Existing database, GenerationEvent.Configured event) {
        if (database.scaleState() != ScaleState.STARTING_NEW) {
            return NOTHING;
        }
        configured = OptionalInt.of(event.version());
        return switchWhenComplete(database);
    }

    private Step switchWhenComplete(Existing database) {
        if (!following || accepting.isEmpty() || configured.isEmpty()) {
            return NOTHING;
        }
        asking = false;
        return go(
                "the candidate is configured, Safekeepers follow",
                state -> {
                    world.cancel(Timer.SWITCH);
                    world.switched(state);
                    phase("switch");
                    phases.put("frozen", Duration.between(frozenSince, world.now()));
                    metrics.completed(phases);
                    world.info("handoff: generation=%d profile=%s %s"
                            .formatted(state.generation(), state.runningProfile(), describe(phases)));
                    lineage = Optional.empty();
                    failures = 0;
                    world.proceedSoon();
                },
                new WriterSwitched(
                        database.scaling().candidate(), accepting.get(), configured.getAsInt(), world.now()));
    }

    private static String describe(Map<String, Duration> phases) {
        StringBuilder text = new StringBuilder();
        phases.forEach((name, duration) ->
                text.append(String.format(Locale.ROOT, "%s=%.1fms ", name, duration.toNanos() / 1e6)));
        return text.toString().strip();
    }

    private Step complete() {
        return go(
                "gateways are told",
                state -> world.start(Timer.COOLDOWN, timings.cooldown()),
                new HandoffCompleted(world.now()));
    }

    // ---- time ----------------------------------------------------------------------------------------------------

    Step onTimer(Existing database, Timer timer) {
        ScaleState state = database.scaleState();
        return switch (timer) {
            case PREPARE ->
                state == ScaleState.PREPARING
                        ? failed("the candidate has not caught up within " + timings.prepareLimit())
                        : NOTHING;
            case ANSWER ->
                state == ScaleState.PREPARING && readying
                        ? postpone("the writer has not answered within "
                                + timings.answerLimit().toMillis() + " ms")
                        : NOTHING;
            case RETRY -> {
                waiting = false;
                if (state == ScaleState.PREPARING) {
                    world.start(Timer.PREPARE, timings.prepareLimit()); // it may have fallen behind meanwhile
                }
                yield proceed(database);
            }
            // The pools answer with Thawed, and what was in the way.
            case DRAIN ->
                state == ScaleState.FREEZING || state == ScaleState.DRAINING
                        ? act(() -> world.tellPools(PoolsCommand.Resume.INSTANCE))
                        : NOTHING;
            case STOP -> {
                if (state != ScaleState.STOPPING_OLD) {
                    yield NOTHING;
                }
                world.tellWriter(GenerationCommand.Kill.INSTANCE);
                yield onWriterEnded(database); // the promise for the candidate shuts it out, should it still write
            }
            case SWITCH ->
                state == ScaleState.STARTING_NEW
                        ? lost("the candidate was not ready within " + timings.switchLimit())
                        : NOTHING;
            case COOLDOWN ->
                state == ScaleState.COOLDOWN
                        ? go("its time is over", after -> world.proceedSoon(), new CooldownEnded(world.now()))
                        : NOTHING;
        };
    }
}
