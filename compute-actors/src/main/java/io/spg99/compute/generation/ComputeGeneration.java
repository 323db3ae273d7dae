package io.spg99.compute.generation;

import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.readthrough.ReadThroughFigures;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.wal.Lsn;
import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.PostStop;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;

/**
 * One generation: starts PostgreSQL over a timeline as DESIGN.md section 5 says, watches it, and removes every trace of it.
 * Owned by the Database actor, which spawns it and is told {@link GenerationEvent}s; the last one is always Ended, and the
 * actor stops by itself then. It never fails: what goes wrong is the reason in Ended.
 *
 * <pre>
 * state        it happens                          next         it does
 * PREPARING    prepared, Recover known          PREPARING    fetch WAL
 * PREPARING    WAL is there                     STARTING     let the held server recover, or start PostgreSQL
 * STARTING     port was taken meanwhile            STARTING     start PostgreSQL on another port
 * STARTING     ready, TLI == g, ended at R         CONFIGURING  owner: Accepting; managed configuration
 * CONFIGURING  configuration holds                 SERVING      owner: Configured
 * PREPARING    WAL is there, a candidate         FOLLOWING    start PostgreSQL as a standby, let WAL come in
 * FOLLOWING    TakeOver                          STARTING     the rest of the WAL, then promote
 * any          Stop                                ENDING       fast shutdown
 * SERVING      HandOver                            ENDING       the last WAL to the quorum, immediate shutdown
 * any          Kill, step failed, deadline passed  ENDING       immediate shutdown
 * any          PostgreSQL ended by itself          ENDING       -
 * ENDING       steps and PostgreSQL have ended     ENDING       remove processes and files
 * ENDING       removed                             (stopped)    owner: Ended
 *
 * One that crashed while it served says Ended as soon as none of its processes is left: somebody waits for the next generation.
 * Its files are removed a while later.
 * </pre>
 */
public final class ComputeGeneration extends AbstractBehavior<GenerationCommand> {

    /** Ports tried before a start is given up: each one was free a moment before. */
    private static final int PORT_ATTEMPTS = 5;

    /** How long an interrupted step may take to end before its files are removed under it. */
    private static final Duration INTERRUPT_DEADLINE = Duration.ofSeconds(5);

    private enum State {
        PREPARING,
        FOLLOWING,
        STARTING,
        CONFIGURING,
        SERVING,
        ENDING
    }

    /** Blocking steps, in order. */
    private enum Step {
        IMAGE,
        WAL,
        LAUNCH,
        TAKE_OVER,
        VERIFY,
        CONFIGURE,
        FAREWELL,
        SAMPLE,
        SETTLE,
        LAST_WAL,
        SWEEP,
        REMOVE
    }

    private enum Timer {
        DEADLINE,
        TICK,
        AUTOVACUUM
    }

    /** How often a candidate says how far it is, and a writer what it uses. */
    private static final Duration FOLLOWED_INTERVAL = Duration.ofMillis(100);

    private static final Duration LOAD_INTERVAL = Duration.ofSeconds(1);

    /** The first client is through by then, and nothing needs to be vacuumed sooner. */
    private static final Duration AUTOVACUUM_LATER = Duration.ofSeconds(1);

    /** After a handoff or a crash the machine has better things to do first than to remove what is left. */
    private static final Duration REMOVE_LATER = Duration.ofSeconds(3);

    @FunctionalInterface
    private interface Work {
        void run() throws Exception;
    }

    /** This actor's own messages. */
    sealed interface Internal extends GenerationCommand.Private {}

    private record StepDone(Step step, Duration took) implements Internal {}

    private record StepFailed(Step step, String reason) implements Internal {}

    private record Prepared(ComputeNode.Directory directory, Duration took) implements Internal {}

    private record Launched(PostgresProcess process, int port) implements Internal {}

    private record FarewellReady(Farewell farewell) implements Internal {}

    private record Sampled(Optional<ServerUsage> usage, ReadThroughFigures cache) implements Internal {}

    private enum Tick implements Internal {
        INSTANCE
    }

    private enum StartAutovacuum implements Internal {
        INSTANCE
    }

    private enum RemoveNow implements Internal {
        INSTANCE
    }

    private record Removed(boolean orderly) implements Internal {}

    private record Ready(long pid) implements Internal {}

    private record Verified(WriterAddress writer) implements Internal {}

    private record Exited(long pid, int status) implements Internal {}

    private record DeadlinePassed(State state) implements Internal {}

    private final GenerationSpec spec;
    private final ComputeNode node;
    private final ActorRef<GenerationEvent> owner;
    private final TimerScheduler<GenerationCommand> timers;

    /** Steps under way. */
    private final Map<Step, BlockingStep<Internal>> steps = new EnumMap<>(Step.class);

    private final Map<String, Duration> phases = new LinkedHashMap<>();
    private State state = State.PREPARING;
    private Optional<PostgresProcess> process = Optional.empty();
    private boolean prepared;
    private Optional<Recovery> recovery = Optional.empty();
    private Optional<WriterAddress> writer = Optional.empty();
    private int port;
    private int attempts;
    private Instant launchedAt;

    /** Why it ends; meaningful in ENDING. */
    private String reason = "";

    /** True if Stop was asked for, and nothing worse happened since. */
    private boolean stopRequested;

    /** True if a candidate goes on where this generation ends. */
    private boolean handedOver;

    /** Since the last PrepareHandOver. */
    private Optional<Farewell> farewell = Optional.empty();

    /** WAL that comes in for a candidate; present from FOLLOWING on. */
    private Optional<WalProvider.Following> following = Optional.empty();

    /** Written by the thread that reads PostgreSQL's log. */
    private final AtomicReference<Lsn> replayed = new AtomicReference<>(Lsn.ZERO);

    /** End of the newest snapshot heard of; zero before the first. */
    private Lsn snapshot = Lsn.ZERO;

    /** True if PostgreSQL ended by itself while it served. */
    private boolean crashed;

    /** True once the owner knows that it ended. */
    private boolean saidEnded;

    /** Nothing runs any more: what is left is removed now, or a while later. */
    private boolean over;

    /** True once the step REMOVE was started. */
    private boolean removing;

    /** Starts at once. */
    public static Behavior<GenerationCommand> create(
            GenerationSpec spec, ComputeNode node, ActorRef<GenerationEvent> owner) {
        Map<String, String> mdc = Map.of(
                "database", spec.databaseId(),
                "timeline", spec.base().timeline().value(),
                "generation", Integer.toString(spec.generation()));
        return Behaviors.withMdc(
                GenerationCommand.class,
                mdc,
                Behaviors.setup(context ->
                        Behaviors.withTimers(timers -> new ComputeGeneration(context, timers, spec, node, owner))));
    }

    private ComputeGeneration(
            ActorContext<GenerationCommand> context,
            TimerScheduler<GenerationCommand> timers,
            GenerationSpec spec,
            ComputeNode node,
            ActorRef<GenerationEvent> owner) {
        super(context);
        this.timers = timers;
        this.spec = spec;
        this.node = node;
        this.owner = owner;
        this.launchedAt = node.clock().instant();
        Instant began = node.clock().instant();
        start(
                Step.IMAGE,
                () -> new Prepared(
                        node.prepare(spec), Duration.between(began, node.clock().instant())));
    }

    @Override
    public Receive<GenerationCommand> createReceive() {
        return newReceiveBuilder()
                .onMessage(GenerationCommand.class, this::onCommand)
                .onSignal(PostStop.class, signal -> onPostStop())
                .build();
    }

    private Behavior<GenerationCommand> onCommand(GenerationCommand command) {
        return switch (command) {
            case GenerationCommand.Recover recover -> onRecover(recover);
            case GenerationCommand.TakeOver takeOver -> onTakeOver(takeOver.recovery());
            case GenerationCommand.ShareHot share -> onShareHot();
            case GenerationCommand.PrepareHandOver prepare -> onPrepareHandOver();
            case GenerationCommand.HandOver handOver -> onHandOver();
            case GenerationCommand.SnapshotPublished published -> onSnapshot(published.end());
            case GenerationCommand.Stop stop -> onStop();
            case GenerationCommand.Kill kill -> onKill();
            case StepDone done -> onStepDone(done);
            case StepFailed failed -> onStepFailed(failed);
            case Prepared done -> onPrepared(done);
            case Launched launched -> onLaunched(launched);
            case Ready ready -> onReady(ready);
            case Verified verified -> onVerified(verified);
            case Exited exited -> onExited(exited);
            case FarewellReady ready -> onFarewellReady(ready);
            case Sampled sampled -> onSampled(sampled);
            case Tick tick -> onTick();
            case StartAutovacuum now -> onStartAutovacuum();
            case RemoveNow now -> remove();
            case Removed removed -> onRemoved(removed);
            case DeadlinePassed passed -> onDeadline(passed);
        };
    }

    private Behavior<GenerationCommand> onRecover(GenerationCommand.Recover recover) {
        if (state == State.PREPARING && recovery.isEmpty()) {
            recovery = Optional.of(recover.recovery());
            arm(node.settings().prepareDeadline());
            fetchWhenPossible();
        }
        return this;
    }

    private void fetchWhenPossible() {
        if (prepared && recovery.isPresent()) {
            Recovery from = recovery.get();
            runStep(Step.WAL, () -> node.fetchWal(spec, from));
        }
    }

    /** A candidate has its first WAL: from now on it has no deadline. */
    private void startFollowing() {
        timers.cancel(Timer.DEADLINE);
        become(State.FOLLOWING, "its first WAL is there");
        Recovery from = recovery.orElseThrow();
        following = Optional.of(node.follow(spec, from));
        node.following(spec);
        start(Step.LAUNCH, () -> {
            int free = node.freePort();
            return new Launched(node.launchCandidate(spec, from, free, replayed::set), free);
        });
        timers.startTimerWithFixedDelay(Timer.TICK, Tick.INSTANCE, FOLLOWED_INTERVAL);
    }

    private Behavior<GenerationCommand> onTakeOver(Recovery end) {
        if (state != State.FOLLOWING || process.isEmpty()) {
            return fail("cannot take over: state=" + state);
        }
        timers.cancel(Timer.TICK);
        become(State.STARTING, "takes over at " + end.end());
        arm(node.settings().startDeadline());
        launchedAt = node.clock().instant();
        Recovery followed = recovery.orElseThrow();
        recovery = Optional.of(end);
        PostgresProcess server = process.get();
        WalProvider.Following incoming = following.orElseThrow();
        runStep(Step.TAKE_OVER, () -> node.takeOver(spec, followed, end, incoming, replayed::get, server));
        return this;
    }

    private Behavior<GenerationCommand> onShareHot() {
        node.share(spec);
        return this;
    }

    private Behavior<GenerationCommand> onPrepareHandOver() {
        if (state == State.SERVING && !steps.containsKey(Step.FAREWELL)) {
            WriterAddress address = writer.orElseThrow();
            Optional<Farewell> before = farewell;
            start(Step.FAREWELL, () -> {
                before.ifPresent(Farewell::close);
                return new FarewellReady(node.farewell(spec, address));
            });
        }
        return this;
    }

    private Behavior<GenerationCommand> onFarewellReady(FarewellReady ready) {
        steps.remove(Step.FAREWELL);
        farewell = Optional.of(ready.farewell());
        if (state == State.ENDING) {
            return proceedToEnd();
        }
        owner.tell(new GenerationEvent.HandOverPrepared(
                spec.generation(), ready.farewell().oldestTransaction()));
        return this;
    }

    private Behavior<GenerationCommand> onTick() {
        if (state == State.FOLLOWING) {
            Optional<String> failure = following.orElseThrow().failure();
            if (failure.isPresent()) {
                return fail(failure.get());
            }
            owner.tell(new GenerationEvent.Followed(
                    spec.generation(), following.orElseThrow().received(), replayed.get()));
        } else if (state == State.SERVING && !steps.containsKey(Step.SAMPLE)) {
            Lsn known = snapshot;
            WriterAddress address = writer.orElseThrow();
            process.ifPresent(server -> start(Step.SAMPLE, () -> {
                ReadThroughFigures cache = node.report(spec, known);
                node.advance(spec, address, known);
                return new Sampled(ComputeNode.usage(server.pid()), cache);
            }));
        }
        return this;
    }

    /** The guard lets a server that was held begin without. */
    private Behavior<GenerationCommand> onStartAutovacuum() {
        if (state == State.SERVING) {
            process.ifPresent(PostgresProcess::reload);
        }
        return this;
    }

    private Behavior<GenerationCommand> onSnapshot(Lsn end) {
        snapshot = Lsn.max(snapshot, end);
        return this;
    }

    private Behavior<GenerationCommand> onSampled(Sampled sampled) {
        steps.remove(Step.SAMPLE);
        if (state == State.ENDING) {
            return proceedToEnd();
        }
        sampled.usage()
                .ifPresent(usage -> owner.tell(new GenerationEvent.Load(
                        spec.generation(),
                        usage.cpu(),
                        usage.memory(),
                        sampled.cache().misses(),
                        sampled.cache().evictedBlocks())));
        return this;
    }

    private Behavior<GenerationCommand> onHandOver() {
        handedOver = true;
        if (state == State.SERVING && farewell.isPresent()) {
            Farewell last = farewell.get();
            stopRequested = true;
            end("handed over");
            runStep(Step.LAST_WAL, last::say);
            return this;
        }
        return onStop();
    }

    /** Everything is in the quorum: from here on an orderly end would only take time. */
    private Behavior<GenerationCommand> onLastWal() {
        owner.tell(new GenerationEvent.HandedOver(spec.generation()));
        process.ifPresent(server -> server.stop(PostgresProcess.Stop.IMMEDIATE, Duration.ZERO));
        return proceedToEnd();
    }

    private Behavior<GenerationCommand> onStop() {
        if (state != State.ENDING) {
            Optional<WriterAddress> serving = state == State.SERVING ? writer : Optional.empty();
            stopRequested = true;
            end("stopped on request");
            serving.ifPresentOrElse(
                    address -> runStep(Step.SETTLE, () -> node.settle(spec, address)), this::stopServer);
        }
        return proceedToEnd();
    }

    private void stopServer() {
        process.ifPresent(
                server -> server.stop(PostgresProcess.Stop.FAST, node.settings().stopDeadline()));
    }

    /** Whether or not it worked: without it sequences go on some values later, as after a crash. */
    private Behavior<GenerationCommand> onSettled() {
        if (stopRequested) {
            stopServer();
        }
        return proceedToEnd();
    }

    private Behavior<GenerationCommand> onKill() {
        return fail("killed on request");
    }

    private Behavior<GenerationCommand> onStepDone(StepDone done) {
        steps.remove(done.step());
        if (done.step() == Step.SETTLE) {
            return onSettled();
        }
        if (done.step() == Step.LAST_WAL) {
            return onLastWal();
        }
        if (done.step() == Step.SWEEP) {
            return onSwept();
        }
        if (state == State.ENDING) {
            return proceedToEnd();
        }
        switch (done.step()) {
            case TAKE_OVER -> phases.put("take_over", done.took());
            case WAL -> {
                phases.put("wal", done.took());
                if (spec.prepareOnly()) {
                    startFollowing();
                    return this;
                }
                become(State.STARTING, "its WAL is there");
                arm(node.settings().startDeadline());
                launchedAt = node.clock().instant();
                launch();
            }
            case CONFIGURE -> {
                phases.put("configure", done.took());
                serve();
            }
            case IMAGE, LAUNCH, VERIFY, FAREWELL, SAMPLE, SETTLE, LAST_WAL, SWEEP, REMOVE ->
                throw new IllegalStateException("step has an answer of its own: step=" + done.step());
        }
        return this;
    }

    private Behavior<GenerationCommand> onStepFailed(StepFailed failed) {
        steps.remove(failed.step());
        if (failed.step() == Step.REMOVE) {
            getContext().getLog().error("generation could not be removed: reason={}", failed.reason());
            return ended(false, reason + "; what is left could not be removed: " + failed.reason());
        }
        if (failed.step() == Step.SWEEP) {
            getContext().getLog().info("processes may be left, removing all at once: reason={}", failed.reason());
            return remove();
        }
        if (failed.step() == Step.SETTLE) {
            getContext().getLog().info("sequences were not settled: reason={}", failed.reason());
            return onSettled();
        }
        if (failed.step() == Step.LAST_WAL) {
            getContext().getLog().info("stops in order, its last WAL may be missing: reason={}", failed.reason());
            return onSettled();
        }
        if (failed.step() == Step.FAREWELL) {
            getContext().getLog().info("no preparation for a handoff: reason={}", failed.reason());
            owner.tell(new GenerationEvent.HandOverPrepared(spec.generation(), Optional.empty()));
        }
        if (state == State.ENDING) {
            return proceedToEnd(); // it was interrupted
        }
        if (failed.step() == Step.FAREWELL || failed.step() == Step.SAMPLE) {
            return this;
        }
        String what = failed.step().name().toLowerCase(Locale.ROOT);
        return fail("step failed: step=" + what + " reason=" + failed.reason() + serverLog());
    }

    private Behavior<GenerationCommand> onPrepared(Prepared done) {
        steps.remove(Step.IMAGE);
        done.directory().held().ifPresent(this::watch);
        onSnapshot(done.directory().snapshot());
        if (state == State.ENDING) {
            return proceedToEnd();
        }
        phases.put("image", done.took());
        prepared = true;
        fetchWhenPossible();
        return this;
    }

    private Behavior<GenerationCommand> onLaunched(Launched launched) {
        steps.remove(Step.LAUNCH);
        port = launched.port();
        PostgresProcess server = launched.process();
        if (!isCurrent(server.pid())) {
            watch(server);
        }
        ActorRef<GenerationCommand> self = getContext().getSelf();
        server.ready().thenRun(() -> self.tell(new Ready(server.pid())));
        return state == State.ENDING ? proceedToEnd() : this;
    }

    private void watch(PostgresProcess server) {
        process = Optional.of(server);
        ActorRef<GenerationCommand> self = getContext().getSelf();
        server.exit().thenAccept(status -> self.tell(new Exited(server.pid(), status)));
        if (state == State.ENDING) {
            server.stop(PostgresProcess.Stop.IMMEDIATE, Duration.ZERO);
        }
    }

    private Behavior<GenerationCommand> onReady(Ready ready) {
        if (state == State.STARTING && isCurrent(ready.pid())) {
            start(Step.VERIFY, () -> new Verified(node.verify(spec, recovery.orElseThrow(), port)));
        }
        return this;
    }

    private Behavior<GenerationCommand> onVerified(Verified verified) {
        steps.remove(Step.VERIFY);
        if (state == State.ENDING) {
            return proceedToEnd();
        }
        phases.put("postgres", Duration.between(launchedAt, node.clock().instant()));
        become(State.CONFIGURING, "recovery ended at " + recovery.orElseThrow().end());
        arm(node.settings().configureDeadline());
        writer = Optional.of(verified.writer());
        owner.tell(new GenerationEvent.Accepting(spec.generation(), verified.writer()));
        if (spec.configured() == ManagedConfiguration.VERSION) {
            serve();
        } else {
            runStep(Step.CONFIGURE, () -> node.configure(spec, verified.writer()));
        }
        return this;
    }

    private void serve() {
        timers.cancel(Timer.DEADLINE);
        timers.startTimerWithFixedDelay(Timer.TICK, Tick.INSTANCE, LOAD_INTERVAL);
        if (!spec.prepareOnly()) {
            timers.startSingleTimer(Timer.AUTOVACUUM, StartAutovacuum.INSTANCE, AUTOVACUUM_LATER);
        }
        become(State.SERVING, "managed configuration holds");
        node.serving(spec);
        owner.tell(new GenerationEvent.Configured(
                spec.generation(),
                ManagedConfiguration.VERSION,
                Collections.unmodifiableMap(new LinkedHashMap<>(phases))));
    }

    private Behavior<GenerationCommand> onExited(Exited exited) {
        if (!isCurrent(exited.pid())) {
            return this;
        }
        PostgresProcess server = process.orElseThrow();
        process = Optional.empty();
        if (state == State.ENDING) {
            if (handedOver) {
                owner.tell(new GenerationEvent.HandedOver(spec.generation()));
            }
            return proceedToEnd();
        }
        if (state == State.STARTING && server.portWasTaken() && attempts < PORT_ATTEMPTS) {
            getContext().getLog().info("port was taken meanwhile, trying another: port={}", port);
            launch();
            return this;
        }
        crashed = state == State.SERVING;
        end("PostgreSQL ended by itself: state=" + state + " status=" + exited.status() + " log=" + server.lastError());
        return proceedToEnd();
    }

    private Behavior<GenerationCommand> onDeadline(DeadlinePassed passed) {
        if (passed.state() != state) {
            return this; // of an earlier state
        }
        if (state == State.ENDING) {
            getContext()
                    .getLog()
                    .warn("steps do not end after an interrupt, going on without them: steps={}", steps.keySet());
            boolean settling = steps.containsKey(Step.SETTLE) || steps.containsKey(Step.LAST_WAL);
            steps.clear();
            return settling ? onSettled() : proceedToEnd();
        }
        return fail("deadline passed: state=" + state
                + (state == State.CONFIGURING
                        ? " hint=the first configuration waits for two Safekeepers to follow"
                        : "")
                + serverLog());
    }

    private Behavior<GenerationCommand> onRemoved(Removed removed) {
        steps.remove(Step.REMOVE);
        return ended(stopRequested && removed.orderly(), reason);
    }

    private Behavior<GenerationCommand> ended(boolean orderly, String why) {
        if (!saidEnded) {
            sayEnded(orderly, why);
        }
        return Behaviors.stopped();
    }

    private void sayEnded(boolean orderly, String why) {
        saidEnded = true;
        getContext().getLog().info("generation ended: orderly={} reason={}", orderly, why);
        owner.tell(new GenerationEvent.Ended(spec.generation(), orderly, why));
    }

    /** Ends without regard for what runs. */
    private Behavior<GenerationCommand> fail(String why) {
        if (state != State.ENDING || stopRequested) {
            stopRequested = false;
            end(why);
        }
        process.ifPresent(server -> server.stop(PostgresProcess.Stop.IMMEDIATE, Duration.ZERO));
        return proceedToEnd();
    }

    private void end(String why) {
        reason = why;
        become(State.ENDING, why);
        steps.forEach((step, running) -> {
            if (step != Step.REMOVE) {
                running.cancel();
            }
        });
        arm(INTERRUPT_DEADLINE);
    }

    /** Removes everything once nothing runs any more. */
    private Behavior<GenerationCommand> proceedToEnd() {
        if (steps.isEmpty() && process.isEmpty() && !over) {
            over = true;
            timers.cancel(Timer.DEADLINE);
            timers.cancel(Timer.TICK);
            if (handedOver) {
                timers.startSingleTimer(RemoveNow.INSTANCE, REMOVE_LATER);
            } else if (crashed) {
                node.share(spec); // the next generation looks for what was hot before this one is removed
                runStep(Step.SWEEP, () -> node.endProcesses(spec));
            } else {
                remove();
            }
        }
        return this;
    }

    /** Nobody reads from it any more; what is left of it is in nobody's way. */
    private Behavior<GenerationCommand> onSwept() {
        sayEnded(false, reason);
        timers.startSingleTimer(RemoveNow.INSTANCE, REMOVE_LATER);
        return this;
    }

    private Behavior<GenerationCommand> remove() {
        removing = true;
        Optional<WalProvider.Following> incoming = following;
        Optional<Farewell> said = farewell;
        start(Step.REMOVE, () -> {
            said.ifPresent(Farewell::close);
            incoming.ifPresent(WalProvider.Following::stop);
            return new Removed(node.remove(spec, !handedOver));
        });
        return this;
    }

    /** Lets the held server go on, or else starts one. */
    private void launch() {
        attempts++;
        Recovery from = recovery.orElseThrow();
        Optional<PostgresProcess> held = process;
        start(Step.LAUNCH, () -> {
            int free = node.freePort();
            if (held.isEmpty()) {
                return new Launched(node.launch(spec, from, free), free);
            }
            node.release(held.get(), spec, from, free);
            return new Launched(held.get(), free);
        });
    }

    private void runStep(Step step, Work work) {
        Instant began = node.clock().instant();
        start(step, () -> {
            work.run();
            return new StepDone(step, Duration.between(began, node.clock().instant()));
        });
    }

    private void start(Step step, Callable<Internal> work) {
        BlockingStep<Internal> running = BlockingStep.start(node.blocking(), work);
        steps.put(step, running);
        getContext()
                .pipeToSelf(
                        running.done(),
                        (answer, failure) -> answer != null ? answer : new StepFailed(step, describe(failure)));
    }

    private static String describe(Throwable failure) {
        String message = failure.getMessage();
        return message == null ? failure.getClass().getSimpleName() : message;
    }

    private void arm(Duration deadline) {
        timers.startSingleTimer(Timer.DEADLINE, new DeadlinePassed(state), deadline);
    }

    private void become(State next, String why) {
        getContext().getLog().info("{} -> {}: {}", state, next, why);
        state = next;
    }

    private boolean isCurrent(long pid) {
        return process.isPresent() && process.get().pid() == pid;
    }

    private String serverLog() {
        return process.map(server -> " log=" + server.lastError()).orElse("");
    }

    /** The owner or the whole system stopped: no time for an orderly end. */
    private Behavior<GenerationCommand> onPostStop() {
        if (!removing) {
            steps.values().forEach(BlockingStep::cancel);
            process.ifPresent(PostgresProcess::kill);
            Optional<WalProvider.Following> incoming = following;
            Optional<Farewell> said = farewell;
            BlockingStep.start(node.blocking(), () -> {
                said.ifPresent(Farewell::close);
                incoming.ifPresent(WalProvider.Following::stop);
                return node.remove(spec, false);
            });
        }
        return this;
    }
}
