package io.spg99.lifecycle.database;

import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.annotation.JsonTypeInfo;
import io.spg99.compute.generation.GenerationCommand;
import io.spg99.compute.generation.GenerationEvent;
import io.spg99.compute.generation.GenerationSpec;
import io.spg99.compute.generation.Recovery;
import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.lease.WriterLocation;
import io.spg99.gateway.pool.FreezeEvent;
import io.spg99.gateway.pool.PoolsCommand;
import io.spg99.gateway.pool.PoolsEvent;
import io.spg99.lifecycle.LifecycleMessage;
import io.spg99.lifecycle.autoscale.Autoscaler;
import io.spg99.lifecycle.autoscale.Capacity;
import io.spg99.lifecycle.database.DatabaseState.Absent;
import io.spg99.lifecycle.database.DatabaseState.Existing;
import io.spg99.lifecycle.database.DatabaseState.Gone;
import io.spg99.lifecycle.database.event.DatabaseEvent;
import io.spg99.lifecycle.database.event.DatabaseEvent.BaseMade;
import io.spg99.lifecycle.database.event.DatabaseEvent.DatabaseCreated;
import io.spg99.lifecycle.database.event.DatabaseEvent.DatabaseDeleted;
import io.spg99.lifecycle.database.event.DatabaseEvent.DeletionStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationEnded;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationFailed;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationReady;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationStarting;
import io.spg99.lifecycle.database.event.DatabaseEvent.ProfileChosen;
import io.spg99.lifecycle.database.event.DatabaseEvent.SizeChanged;
import io.spg99.lifecycle.database.event.DatabaseEvent.StoppingStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.TimelineCreated;
import io.spg99.lifecycle.database.event.DatabaseEvent.TimelineMeasured;
import io.spg99.lifecycle.database.event.DatabaseEvent.TunablesChanged;
import io.spg99.lifecycle.database.event.DatabaseEvent.WakeFailed;
import io.spg99.lifecycle.database.event.Measures;
import io.spg99.lifecycle.database.event.StopCause;
import io.spg99.lifecycle.model.Base;
import io.spg99.lifecycle.model.DatabaseChange;
import io.spg99.lifecycle.model.DatabaseSpec;
import io.spg99.lifecycle.model.DatabaseView;
import io.spg99.lifecycle.model.IdleTimeout;
import io.spg99.lifecycle.model.Profile;
import io.spg99.lifecycle.model.Tunables;
import io.spg99.storage.pageserver.PageserverCommand;
import io.spg99.storage.pageserver.PageserverReply;
import io.spg99.storage.quorum.QuorumCommand;
import io.spg99.storage.quorum.QuorumEvent;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.wal.Lsn;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.Function;
import java.util.function.Supplier;
import org.apache.pekko.Done;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.SupervisorStrategy;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.AskPattern;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;
import org.apache.pekko.cluster.sharding.typed.javadsl.ClusterSharding;
import org.apache.pekko.cluster.sharding.typed.javadsl.EntityTypeKey;
import org.apache.pekko.persistence.typed.PersistenceId;
import org.apache.pekko.persistence.typed.RecoveryCompleted;
import org.apache.pekko.persistence.typed.javadsl.CommandHandler;
import org.apache.pekko.persistence.typed.javadsl.Effect;
import org.apache.pekko.persistence.typed.javadsl.EffectBuilder;
import org.apache.pekko.persistence.typed.javadsl.EventHandler;
import org.apache.pekko.persistence.typed.javadsl.EventSourcedBehavior;
import org.apache.pekko.persistence.typed.javadsl.RetentionCriteria;
import org.apache.pekko.persistence.typed.javadsl.SignalHandler;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.MDC;

/**
 * One database. Owned by cluster sharding (one actor per database id in the cluster, on nodes with role {@code compute});
 * owns the generation that writes, the pools that know who uses it, and its WAL quorum.
 *
 * <p>Its states and what leads from one to another: {@link Lifecycle}. Every step is persisted before it is acted on, and
 * an actor that comes up again goes on from what is written: a creation or deletion is continued, a writer is taken to be
 * lost (it died with the actor, or it can reach no quorum any more once the next generation has its promises).
 *
 * <pre>
 * wake    GenerationStarting(g) -> generation spawned, quorum Prepare(g) -> Recover -> Accepting -> quorum Follow(g)
 *         and, once Configured, pools WriterReady (before that WriterComing, so that Gateways connect meanwhile)
 *         -> Following -> GenerationReady(g)
 * stop    StoppingStarted -> pools WriterGone -> generation Stop -> Ended -> quorum Release(g) -> GenerationEnded
 * delete  DeletionStarted -> generation killed -> quorum Delete -> object storage -> catalog -> DatabaseDeleted
 * </pre>
 *
 * <p>Children are watched. A dead generation is an ended one; pools and quorum are spawned again after a moment. A journal
 * that cannot be written to restarts the actor with a back-off, its children are stopped with it.
 */
public final class Database extends EventSourcedBehavior<Database.Command, DatabaseEvent, DatabaseState> {

    public static final EntityTypeKey<Command> KEY = EntityTypeKey.create(Command.class, "Database");

    /** For what happens on other threads. */
    private static final Logger LOG = LoggerFactory.getLogger(Database.class);

    /** Those who wait for a creation at the same time: one API request, and its repetitions. */
    private static final int MAX_CREATORS = 16;

    /** Time for a dead pools or quorum child to be replaced; long enough that one that dies at once makes no busy loop. */
    private static final Duration RESPAWN_AFTER = Duration.ofMillis(500);

    /**
     * A Gateway's word that was passed on this recently may not have been seen by the pools when they said Idle. They say it
     * again later.
     */
    private static final Duration MAX_CROSSING = Duration.ofSeconds(1);

    /** Time after which a projection that failed is repeated. */
    private static final Duration PROJECT_AGAIN = Duration.ofSeconds(2);

    public sealed interface Command {}

    /** Begins the database; answered when its timeline exists. Repeating it is harmless. */
    public record Create(DatabaseSpec spec, ActorRef<DatabaseReply> replyTo) implements Command, LifecycleMessage {}

    public record Describe(ActorRef<DatabaseReply> replyTo) implements Command, LifecycleMessage {}

    /** Wakes the database, also out of {@code error}; answered at once. */
    public record Start(ActorRef<DatabaseReply> replyTo) implements Command, LifecycleMessage {}

    /** Stops the writer, or cancels its start; answered at once. */
    public record Stop(ActorRef<DatabaseReply> replyTo) implements Command, LifecycleMessage {}

    /** @param size empty to leave it as it is */
    public record Change(Tunables tunables, Optional<Profile> size, ActorRef<DatabaseReply> replyTo)
            implements Command, LifecycleMessage {}

    /** Gives the next writer another profile, and replaces one that runs by a handoff; answered at once. */
    public record Scale(Profile profile, ActorRef<DatabaseReply> replyTo) implements Command, LifecycleMessage {}

    /** @param force also while client connections are active */
    public record Delete(boolean force, ActorRef<DatabaseReply> replyTo) implements Command, LifecycleMessage {}

    /** A Gateway's word for the pools. */
    public record FromGateway(
            @JsonTypeInfo(use = JsonTypeInfo.Id.NAME, property = "type")
            @JsonSubTypes({
                @JsonSubTypes.Type(value = LeaseCommand.Acquire.class, name = "acquire"),
                @JsonSubTypes.Type(value = LeaseCommand.Renew.class, name = "renew"),
                @JsonSubTypes.Type(value = LeaseCommand.Draining.class, name = "draining"),
                @JsonSubTypes.Type(value = LeaseCommand.Release.class, name = "release")
            })
            LeaseCommand command)
            implements Command, LifecycleMessage {}

    /** Sharding's stop message: stops the writer in order and then the actor. */
    public enum Leave implements Command {
        INSTANCE
    }

    /** The journal was read: clean up after the life before this one. */
    private enum Recovered implements Command {
        INSTANCE
    }

    /** Somebody wants a writer. */
    private enum Wake implements Command {
        INSTANCE
    }

    private record Idle(int generation) implements Command {}

    /** @param clients that wait for a server connection */
    private record Queue(int clients) implements Command {}

    private record FromGeneration(GenerationEvent event) implements Command {}

    private record FromQuorum(QuorumEvent event) implements Command {}

    private record FromPageserver(PageserverReply reply) implements Command {}

    private record FromFreeze(FreezeEvent event) implements Command {}

    /** The handoff has another step to take. */
    private enum Proceed implements Command {
        INSTANCE
    }

    private record HandoffElapsed(Handoff.Timer timer) implements Command {}

    private record GenerationTerminated(int generation) implements Command {}

    private record PoolsTerminated(ActorRef<PoolsCommand> dead) implements Command {}

    private record QuorumTerminated(ActorRef<QuorumCommand> dead) implements Command {}

    /** An answer, or the failure to get one in time, to question number {@code question}. */
    private record Answered<T>(long question, Outcome<T> outcome) implements Command {}

    private record Projected(Outcome<Done> outcome) implements Command {}

    private record Inspected(ActorRef<DatabaseReply> replyTo, Optional<PoolsEvent.Activity> activity, Optional<Lsn> end)
            implements Command {}

    private record DeleteInspected(ActorRef<DatabaseReply> replyTo, Optional<PoolsEvent.Activity> activity)
            implements Command {}

    /** What the pools said about demand just after {@code generation} was lost, or while no quorum could be reached. */
    private record DemandInspected(int generation, Optional<PoolsEvent.Activity> activity) implements Command {}

    private record PassivationInspected(Optional<PoolsEvent.Activity> activity) implements Command {}

    private record Elapsed(Timer timer) implements Command {}

    private enum Timer {
        /** The next attempt of whatever is being tried. */
        RETRY,
        BOOT_DEADLINE,
        STOP_DEADLINE,
        KILL_DEADLINE,
        LEAVE_DEADLINE,
        ERROR_PAUSE,
        PASSIVATE,
        RESPAWN_POOLS,
        RESPAWN_QUORUM,
        PROJECT
    }

    private record Child(int generation, ActorRef<GenerationCommand> ref) {}

    /** Where the start of a generation stands; not persisted. */
    private sealed interface Attempt {
        /** Nothing is being started. */
        enum None implements Attempt {
            INSTANCE
        }

        /**
         * The quorum was asked for its promise.
         *
         * @param recovering it is known where the generation begins if all goes well: the compute recovers up to there
         * @param early      what the compute has said meanwhile
         */
        record Preparing(int generation, boolean recovering, List<GenerationEvent> early) implements Attempt {
            public Preparing {
                early = List.copyOf(early);
            }
        }

        /** The quorum could not be reached; the same generation is prepared again after a while. */
        record AwaitingQuorum(int generation, String reason) implements Attempt {}

        /**
         * The compute is starting. Its promises hold, so what it has recovered is in the quorum and is the newest there is.
         *
         * @param open the pools have it: clients may use it
         */
        record Starting(
                int generation,
                Optional<WriterAddress> accepting,
                boolean following,
                OptionalInt configured,
                boolean open)
                implements Attempt {

            Starting(int generation) {
                this(generation, Optional.empty(), false, OptionalInt.empty(), false);
            }

            Starting accepts(WriterAddress writer) {
                return new Starting(generation, Optional.of(writer), following, configured, open);
            }

            Starting follows() {
                return new Starting(generation, accepting, true, configured, open);
            }

            Starting configured(int version) {
                return new Starting(generation, accepting, following, OptionalInt.of(version), open);
            }

            Starting opens() {
                return new Starting(generation, accepting, following, configured, true);
            }
        }

        /** The compute is being killed, for {@code reason}. */
        record Killing(int generation, String reason) implements Attempt {}

        /** Waiting for the time of the next attempt. */
        record BackingOff() implements Attempt {}
    }

    /**
     * The next generation's promises were asked for when the last one had ended: a wake need not wait for them. Whoever wrote that
     * end may use the number after it, and nobody else does ({@link Life#skipped}).
     *
     * @param prepared empty until they hold
     */
    private record Ahead(int generation, Optional<QuorumReply.Prepared> prepared) {}

    /** What a deletion removes, in this order. */
    private enum Removal {
        SAFEKEEPERS,
        OBJECTS,
        CATALOG
    }

    /** All that is forgotten when the actor stops. Begins anew with each recovery. */
    private static final class Life {
        /** What was left from the life before is cleaned up; until then everything else is stashed. */
        boolean settled;
        /** Sharding wants this actor gone. */
        boolean leaving;
        /** A writer was wanted at a time when none could be started. */
        boolean wakeLater;
        /** Catalog writes: at most one is under way; {@code projectAgain} if something changed meanwhile. */
        boolean projecting;

        boolean projectAgain;
        Attempt attempt = Attempt.None.INSTANCE;
        /** Present only while there is no writer. */
        Optional<Ahead> ahead = Optional.empty();
        /** Numbers after the last generation's that promises may have been asked for, by this life or one before: 0 or 1. */
        int skipped;
        /** Why the writer, which was ready, is being killed. */
        Optional<String> killReason = Optional.empty();

        Optional<ColdStarts.Wake> wake = Optional.empty();
        Optional<Child> child = Optional.empty();
        final LoadWatch load;
        /** Clients that wait for a server connection, as last heard. */
        int queue;

        /** Why the autoscaler did what it did last. */
        Optional<String> decision = Optional.empty();
        /** Beside the child, during a handoff. */
        Optional<Child> candidate = Optional.empty();
        /** A stop came in the middle of a handoff. */
        boolean stopLater;

        Optional<ActorRef<PoolsCommand>> pools = Optional.empty();
        Optional<ActorRef<QuorumCommand>> quorum = Optional.empty();
        final List<ActorRef<DatabaseReply>> creators = new ArrayList<>();
        /** Number of the last question; answers to older ones come too late. */
        long question;
        /** Failed tries in a row of what has no end of tries: creation, deletion, reaching the quorum. */
        int tries;
        /** Why the last of these tries failed; users see it as {@code last_error}. */
        Optional<String> delay = Optional.empty();
        /** Why the writer's commits wait, as the quorum says; shown as {@code last_error} while they do. */
        Optional<String> waiting = Optional.empty();
        /** Writers in a row that were lost soon after ready. */
        int shortLives;

        Removal removal = Removal.SAFEKEEPERS;
        Optional<Instant> readySince = Optional.empty();
        /** When a Gateway last asked for the writer or reported connections. */
        Optional<Instant> lastUsed = Optional.empty();
        /** As last heard from pools and quorum. */
        int connections;

        /** What was heard of the timeline in this life; the rest is in the state. */
        Measures measures = Measures.NONE;

        /** What the quorum has said last of the WAL. */
        Optional<QuorumEvent.Advanced> advanced = Optional.empty();
        /** The last event that was announced; the next one waits for it. */
        CompletionStage<Done> announced = CompletableFuture.completedStage(Done.getInstance());
        /** Makes the names of children unique. */
        int spawned;

        Life(Duration watched) {
            load = new LoadWatch(watched);
        }
    }

    private final ActorContext<Command> context;
    private final TimerScheduler<Command> timers;
    private final String id;
    private final ActorRef<ClusterSharding.ShardCommand> shard;
    private final DatabaseServices services;
    private final DatabaseTimings timings;
    private final ActorRef<GenerationEvent> generationEvents;
    private final ActorRef<PoolsEvent> poolsEvents;
    private final ActorRef<QuorumEvent> quorumEvents;
    private final ActorRef<PageserverReply> pageserverReplies;
    private final ActorRef<FreezeEvent> freezeEvents;
    private Handoff handoff;
    private Life life;

    public static Behavior<Command> create(
            String databaseId, ActorRef<ClusterSharding.ShardCommand> shard, DatabaseServices services) {
        return Behaviors.setup(
                context -> Behaviors.withTimers(timers -> new Database(context, timers, databaseId, shard, services)));
    }

    private Database(
            ActorContext<Command> context,
            TimerScheduler<Command> timers,
            String id,
            ActorRef<ClusterSharding.ShardCommand> shard,
            DatabaseServices services) {
        super(
                PersistenceId.of(KEY.name(), id),
                SupervisorStrategy.restartWithBackoff(Duration.ofMillis(200), Duration.ofSeconds(10), 0.2));
        this.context = context;
        this.timers = timers;
        this.id = id;
        this.shard = shard;
        this.services = services;
        this.timings = services.timings();
        this.generationEvents = context.messageAdapter(GenerationEvent.class, FromGeneration::new);
        this.poolsEvents = context.messageAdapter(PoolsEvent.class, Database::fromPools);
        this.quorumEvents = context.messageAdapter(QuorumEvent.class, FromQuorum::new);
        this.pageserverReplies = context.messageAdapter(PageserverReply.class, FromPageserver::new);
        this.freezeEvents = context.messageAdapter(FreezeEvent.class, FromFreeze::new);
        this.life = new Life(services.autoscaler().downAfter());
        this.handoff = newHandoff();
    }

    private static Command fromPools(PoolsEvent event) {
        return switch (event) {
            case PoolsEvent.Demand demand -> Wake.INSTANCE;
            case PoolsEvent.Idle idle -> new Idle(idle.generation());
            case PoolsEvent.Queue queue -> new Queue(queue.clients());
            case PoolsEvent.Activity activity -> new PassivationInspected(Optional.of(activity));
        };
    }

    @Override
    public DatabaseState emptyState() {
        return new Absent();
    }

    @Override
    public EventHandler<DatabaseState, DatabaseEvent> eventHandler() {
        return DatabaseState::transition;
    }

    @Override
    public RetentionCriteria retentionCriteria() {
        return RetentionCriteria.snapshotEvery(timings.snapshotEvery(), 2);
    }

    @Override
    public SignalHandler<DatabaseState> signalHandler() {
        return newSignalHandlerBuilder()
                .onSignal(RecoveryCompleted.instance(), state -> begin())
                .build();
    }

    /** After a journal failure this object lives on, while its children and timers do not. */
    private void begin() {
        life = new Life(services.autoscaler().downAfter());
        handoff = newHandoff();
        timers.cancelAll();
        context.getSelf().tell(Recovered.INSTANCE);
    }

    @Override
    public CommandHandler<Command, DatabaseEvent, DatabaseState> commandHandler() {
        return (state, command) -> life.settled || command instanceof Recovered
                ? handle(state, command)
                : Effect().stash();
    }

    private Effect<DatabaseEvent, DatabaseState> handle(DatabaseState state, Command command) {
        return switch (state) {
            case Absent absent -> onAbsent(command);
            case Gone gone -> onGone(command);
            case Existing database -> onExisting(database, command);
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onAbsent(Command command) {
        return switch (command) {
            case Create create -> onFirstCreate(create);
            case Describe describe -> answer(describe.replyTo(), new DatabaseReply.NotFound());
            case Start start -> answer(start.replyTo(), new DatabaseReply.NotFound());
            case Stop stop -> answer(stop.replyTo(), new DatabaseReply.NotFound());
            case Change change -> answer(change.replyTo(), new DatabaseReply.NotFound());
            case Scale scale -> answer(scale.replyTo(), new DatabaseReply.NotFound());
            case Delete delete -> onDeleteOfNothing(delete);
            case FromGateway lease -> refuse(lease.command(), "database does not exist");
            case Leave leave -> Effect().stop();
            case Recovered recovered -> settled();
            case Elapsed elapsed -> onElapsedAsleep(elapsed);
            case PassivationInspected inspected -> Effect().none();
            case Wake wake -> late(command);
            case Idle idle -> late(command);
            case Queue queue -> late(command);
            case FromGeneration event -> late(command);
            case FromQuorum event -> late(command);
            case FromPageserver reply -> late(command);
            case FromFreeze event -> late(command);
            case Proceed proceed -> late(command);
            case HandoffElapsed elapsed -> late(command);
            case GenerationTerminated dead -> late(command);
            case PoolsTerminated dead -> late(command);
            case QuorumTerminated dead -> late(command);
            case Answered<?> answered -> late(command);
            case Projected projected -> late(command);
            case Inspected inspected -> late(command);
            case DeleteInspected inspected -> late(command);
            case DemandInspected inspected -> late(command);
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onGone(Command command) {
        return switch (command) {
            case Create create -> answer(create.replyTo(), new DatabaseReply.Conflict("the database was deleted"));
            case Describe describe -> answer(describe.replyTo(), new DatabaseReply.NotFound());
            case Start start -> answer(start.replyTo(), new DatabaseReply.NotFound());
            case Stop stop -> answer(stop.replyTo(), new DatabaseReply.NotFound());
            case Change change -> answer(change.replyTo(), new DatabaseReply.NotFound());
            case Scale scale -> answer(scale.replyTo(), new DatabaseReply.NotFound());
            case Delete delete -> answer(delete.replyTo(), new DatabaseReply.NotFound());
            case FromGateway lease -> refuse(lease.command(), "database does not exist");
            case Leave leave -> Effect().stop();
            case Recovered recovered -> settled();
            case Elapsed elapsed -> onElapsedAsleep(elapsed);
            case Inspected inspected -> answer(inspected.replyTo(), new DatabaseReply.NotFound());
            case DeleteInspected inspected -> answer(inspected.replyTo(), new DatabaseReply.NotFound());
            case PassivationInspected inspected -> Effect().none();
            case Wake wake -> late(command);
            case Idle idle -> late(command);
            case Queue queue -> late(command);
            case FromGeneration event -> late(command);
            case FromQuorum event -> late(command);
            case FromPageserver reply -> late(command);
            case FromFreeze event -> late(command);
            case Proceed proceed -> late(command);
            case HandoffElapsed elapsed -> late(command);
            case GenerationTerminated dead -> late(command);
            case PoolsTerminated dead -> late(command);
            case QuorumTerminated dead -> late(command);
            case Answered<?> answered -> late(command);
            case Projected projected -> late(command);
            case DemandInspected inspected -> late(command);
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onExisting(Existing database, Command command) {
        return switch (command) {
            case Create create -> onCreateAgain(database, create);
            case Describe describe -> onDescribe(describe);
            case Start start -> onStart(database, start);
            case Stop stop -> onStop(database, stop);
            case Change change -> onChange(database, change);
            case Scale scale -> onScale(database, scale);
            case Delete delete -> onDelete(database, delete);
            case FromGateway lease -> onLease(database, lease.command());
            case Leave leave -> onLeave(database);
            case Recovered recovered -> onRecovered(database);
            case Wake wake -> onWake(database);
            case Idle idle -> onIdle(database, idle);
            case Queue queue -> none(() -> life.queue = queue.clients());
            case FromGeneration event -> onGeneration(database, event.event());
            case FromQuorum event -> onQuorum(database, event.event());
            case FromPageserver reply -> onPageserver(database, reply.reply());
            case FromFreeze event -> take(database, handoff.onFreeze(database, event.event()));
            case Proceed proceed -> onProceed(database);
            case HandoffElapsed elapsed -> take(database, handoff.onTimer(database, elapsed.timer()));
            case GenerationTerminated dead -> onGenerationTerminated(database, dead);
            case PoolsTerminated dead -> onPoolsTerminated(dead);
            case QuorumTerminated dead -> onQuorumTerminated(database, dead);
            case Answered<?> answered -> onAnswered(database, answered);
            case Projected projected -> onProjected(database, projected);
            case Inspected inspected -> onInspected(database, inspected);
            case DeleteInspected inspected -> onDeleteInspected(database, inspected);
            case DemandInspected inspected -> onDemandInspected(database, inspected);
            case PassivationInspected inspected -> onPassivationInspected(database, inspected);
            case Elapsed elapsed -> onElapsed(database, elapsed.timer());
        };
    }

    // ---- creation -----------------------------------------------------------------------------------------------

    private Effect<DatabaseEvent, DatabaseState> onFirstCreate(Create create) {
        return persist(new Absent(), "created", new DatabaseCreated(create.spec(), now()))
                .thenRun((DatabaseState state) -> {
                    life.creators.add(create.replyTo());
                    continueCreation((Existing) state);
                });
    }

    private Effect<DatabaseEvent, DatabaseState> onCreateAgain(Existing database, Create create) {
        return switch (database.lifecycle()) {
            case CREATING ->
                life.creators.size() < MAX_CREATORS
                        ? none(() -> life.creators.add(create.replyTo()))
                        : answer(create.replyTo(), new DatabaseReply.Unavailable("too many wait for this creation"));
            case DELETING -> answer(create.replyTo(), new DatabaseReply.Conflict("the database is being deleted"));
            case ABSENT, STOPPED, BOOTING, READY, STOPPING, ERROR, DELETED ->
                answer(create.replyTo(), accepted(database));
        };
    }

    /** Makes what is missing, one step at a time; each ends in {@link #onAnswered}. */
    private void continueCreation(Existing database) {
        database.begin()
                .ifPresentOrElse(
                        base -> askQuorum(base, QuorumCommand.Create::new, timings.prepareTimeout()),
                        () -> ask(
                                () -> services.timelines().make(database.spec().timeline())));
    }

    private Effect<DatabaseEvent, DatabaseState> onCreationAnswered(Existing database, Outcome<?> outcome) {
        return switch (outcome) {
            case Outcome.Ok<?> ok -> onCreationAnswered(database, ok.value());
            case Outcome.Failed<?> failed -> none(() -> retry("creation", failed.reason()));
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onCreationAnswered(Existing database, Object answer) {
        if (answer instanceof Base base) {
            return persist(database, "base made", BaseMade.of(base, now())).thenRun((DatabaseState state) -> {
                progressed();
                continueCreation((Existing) state);
            });
        }
        if (answer instanceof QuorumReply.Created) {
            return persist(database, "timeline created", new TimelineCreated(now()))
                    .thenRun((DatabaseState state) -> created((Existing) state));
        }
        return none(() -> retry("creation", Outcome.why(new Outcome.Ok<>(answer))));
    }

    private void created(Existing database) {
        DatabaseReply reply = accepted(database);
        life.creators.forEach(creator -> creator.tell(reply));
        life.creators.clear();
        asleep();
    }

    private void progressed() {
        life.tries = 0;
        life.delay = Optional.empty();
    }

    /** For work without an end of tries. */
    private void retry(String what, String reason) {
        life.tries++;
        life.delay = Optional.of(reason);
        Duration wait = timings.backOff(life.tries);
        log(() -> context.getLog().warn("{} delayed: tries={} again_in={} reason={}", what, life.tries, wait, reason));
        timers.startSingleTimer(Timer.RETRY, new Elapsed(Timer.RETRY), wait);
    }

    // ---- wake ---------------------------------------------------------------------------------------------------

    private Effect<DatabaseEvent, DatabaseState> onStart(Existing database, Start start) {
        if (life.leaving) {
            return answer(start.replyTo(), new DatabaseReply.Unavailable("the database is moving to another node"));
        }
        return switch (database.lifecycle()) {
            case STOPPED, ERROR ->
                startGeneration(database, nextGeneration(database), "start requested")
                        .thenRun((DatabaseState state) -> {
                            life.pools.ifPresent(pools -> pools.tell(PoolsCommand.Admit.INSTANCE));
                            start.replyTo().tell(accepted((Existing) state));
                        });
            case STOPPING -> {
                life.wakeLater = true;
                yield answer(start.replyTo(), accepted(database));
            }
            case BOOTING, READY -> answer(start.replyTo(), accepted(database));
            case CREATING -> answer(start.replyTo(), new DatabaseReply.Conflict("the database is still being created"));
            case DELETING -> answer(start.replyTo(), new DatabaseReply.Conflict("the database is being deleted"));
            case ABSENT, DELETED -> answer(start.replyTo(), new DatabaseReply.NotFound());
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onWake(Existing database) {
        if (life.leaving) {
            return late(Wake.INSTANCE);
        }
        return switch (database.lifecycle()) {
            case STOPPED, ERROR -> wakeNowOrSoon(database);
            case CREATING, STOPPING -> none(() -> life.wakeLater = true);
            case ABSENT, BOOTING, READY, DELETING, DELETED -> late(Wake.INSTANCE);
        };
    }

    private Effect<DatabaseEvent, DatabaseState> wakeNowOrSoon(Existing database) {
        if (timers.isTimerActive(Timer.RETRY)) {
            return late(Wake.INSTANCE); // short lives: the timer wakes
        }
        if (life.shortLives > 0) {
            life.wakeLater = true;
            Duration wait = timings.backOff(life.shortLives);
            return none(() -> timers.startSingleTimer(Timer.RETRY, new Elapsed(Timer.RETRY), wait));
        }
        return startGeneration(database, nextGeneration(database), "somebody waits");
    }

    private int nextGeneration(Existing database) {
        return life.ahead.map(Ahead::generation).orElseGet(() -> database.nextGeneration() + life.skipped);
    }

    /** @param generation larger than any before */
    private EffectBuilder<DatabaseEvent, DatabaseState> startGeneration(
            Existing database, int generation, String reason) {
        ColdStarts.Wake wake = life.wake.orElseGet(() -> new ColdStarts.Wake(services.clock()));
        wake.attempt();
        life.wake = Optional.of(wake);
        life.wakeLater = false;
        timers.cancel(Timer.PASSIVATE);
        timers.cancel(Timer.ERROR_PAUSE);
        timers.cancel(Timer.RETRY);
        // Its files are nobody's but its own: they may be laid out while the number is written, before which nobody is
        // asked
        // to promise anything to it.
        spawnIfThereIsNone(database, generation);
        Optional<Ahead> ahead = life.ahead.filter(asked -> asked.generation() == generation);
        life.ahead = Optional.empty();
        ahead.flatMap(Ahead::prepared).ifPresent(this::recover);
        return persist(database, reason, new GenerationStarting(generation, now()))
                .thenRun((DatabaseState state) -> {
                    wake.ended("persist");
                    life.skipped = 0;
                    ahead.ifPresentOrElse(asked -> goOn((Existing) state, asked), () -> prepare((Existing) state));
                });
    }

    /** The compute prepares what needs no promise while the promises are asked for. */
    private void prepare(Existing database) {
        life.attempt = new Attempt.Preparing(database.generation(), false, List.of());
        spawnIfThereIsNone(database, database.generation());
        askPromises(database, database.generation());
        letSnapshotsWait(database);
    }

    /** The promises hold already, or will soon. */
    private void goOn(Existing database, Ahead ahead) {
        Attempt.Preparing preparing =
                new Attempt.Preparing(ahead.generation(), ahead.prepared().isPresent(), List.of());
        life.attempt = preparing;
        letSnapshotsWait(database);
        ahead.prepared().ifPresent(prepared -> onPrepared(preparing, prepared));
    }

    private void askPromises(Existing database, int generation) {
        askQuorum(
                database.made(),
                replyTo -> new QuorumCommand.Prepare(generation, replyTo, quorumEvents),
                timings.prepareTimeout());
    }

    /** A snapshot that is due can wait: clients do. */
    private void letSnapshotsWait(Existing database) {
        life.advanced.ifPresent(advanced -> tellPageserver(database, advanced));
    }

    /**
     * Whoever wakes the database next need not wait for promises. The number is this life's alone: it wrote that the generation before has
     * ended, which another life either has read, and takes a larger number, or not, and cannot write anything more.
     */
    private void prepareAhead(Existing database, QuorumEvent.Advanced last) {
        if (last.over()
                && last.generation() == database.generation()
                && database.lifecycle() == Lifecycle.STOPPED
                && life.skipped == 0
                && !life.leaving) {
            life.skipped = 1;
            life.ahead = Optional.of(new Ahead(database.nextGeneration(), Optional.empty()));
            askPromises(database, database.nextGeneration());
        }
    }

    private Effect<DatabaseEvent, DatabaseState> onAheadAnswered(Outcome<?> outcome) {
        life.ahead = life.ahead
                .filter(asked -> outcome instanceof Outcome.Ok<?> ok && ok.value() instanceof QuorumReply.Prepared)
                .map(asked -> new Ahead(
                        asked.generation(), Optional.of((QuorumReply.Prepared) ((Outcome.Ok<?>) outcome).value())));
        return Effect().none();
    }

    private void spawnIfThereIsNone(Existing database, int generation) {
        if (life.child.isEmpty()) {
            life.child = Optional.of(spawnGeneration(database, generation, OptionalInt.empty()));
            life.killReason = Optional.empty();
        }
    }

    /** The compute need not wait until that is established; whether it comes to that is seen before anybody is let in. */
    private Effect<DatabaseEvent, DatabaseState> onChosen(QuorumEvent.Chosen chosen) {
        if (!(life.attempt instanceof Attempt.Preparing preparing)
                || preparing.generation() != chosen.generation()
                || preparing.recovering()) {
            return late(chosen);
        }
        life.attempt = new Attempt.Preparing(chosen.generation(), true, List.of());
        return none(() -> recover(new Recovery(chosen.history(), chosen.end(), chosen.sources())));
    }

    private Effect<DatabaseEvent, DatabaseState> onBootAnswered(Existing database, Outcome<?> outcome) {
        return switch (life.attempt) {
            case Attempt.Preparing preparing -> onPrepareAnswered(database, preparing, outcome);
            case Attempt.Starting starting -> onFollowAnswered(database, starting, outcome);
            case Attempt.None none -> late(outcome);
            case Attempt.AwaitingQuorum awaiting -> late(outcome);
            case Attempt.Killing killing -> late(outcome);
            case Attempt.BackingOff backingOff -> late(outcome);
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onPrepareAnswered(
            Existing database, Attempt.Preparing preparing, Outcome<?> outcome) {
        return switch (outcome) {
            case Outcome.Ok<?> ok -> onPrepareAnswered(database, preparing, (QuorumReply) ok.value());
            case Outcome.Failed<?> failed -> onNotPrepared(database, preparing, failed.reason());
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onPrepareAnswered(
            Existing database, Attempt.Preparing preparing, QuorumReply reply) {
        return switch (reply) {
            case QuorumReply.Prepared prepared -> none(() -> onPrepared(preparing, prepared));
            case QuorumReply.Superseded superseded ->
                startAnother(
                        database,
                        Math.max(superseded.promised() + 1, database.nextGeneration()),
                        "superseded: promised=" + superseded.promised());
            case QuorumReply.Unavailable unavailable -> onNotPrepared(database, preparing, unavailable.reason());
            case QuorumReply.Created other -> late(other);
            case QuorumReply.Following other -> late(other);
            case QuorumReply.Positions other -> late(other);
            case QuorumReply.Deleted other -> late(other);
        };
    }

    private Effect<DatabaseEvent, DatabaseState> startAnother(Existing database, int generation, String reason) {
        abandonChild();
        return startGeneration(database, generation, reason);
    }

    /** What has been chosen for cannot be prepared again. */
    private Effect<DatabaseEvent, DatabaseState> onNotPrepared(
            Existing database, Attempt.Preparing preparing, String reason) {
        return preparing.recovering()
                ? startAnother(database, database.nextGeneration(), "not established: " + reason)
                : none(() -> awaitQuorum(database, reason));
    }

    private void awaitQuorum(Existing database, String reason) {
        life.attempt = new Attempt.AwaitingQuorum(database.generation(), reason);
        retry("wake", reason);
    }

    /** @param writer of a candidate: the generation that it is to follow */
    private Child spawnGeneration(Existing database, int generation, OptionalInt writer) {
        DatabaseSpec spec = database.spec();
        Base base = database.made();
        GenerationSpec start = new GenerationSpec(
                id,
                spec.name(),
                spec.roleName(),
                base.image(),
                base.timeline(),
                generation,
                database.configured(),
                services.profiles().apply(database.chosenProfile()),
                writer);
        ActorRef<GenerationCommand> ref = context.spawn(
                services.generation().apply(start, generationEvents), childName("generation-" + generation));
        context.watchWith(ref, new GenerationTerminated(generation));
        return new Child(generation, ref);
    }

    private void onPrepared(Attempt.Preparing preparing, QuorumReply.Prepared prepared) {
        progressed();
        life.wake.ifPresent(wake -> wake.ended("establish"));
        if (!preparing.recovering()) {
            recover(prepared);
        }
        life.attempt = new Attempt.Starting(prepared.generation());
        timers.startSingleTimer(Timer.BOOT_DEADLINE, new Elapsed(Timer.BOOT_DEADLINE), timings.bootDeadline());
        preparing.early().forEach(generationEvents::tell);
    }

    private void recover(QuorumReply.Prepared prepared) {
        recover(new Recovery(prepared.history(), prepared.end(), prepared.sources()));
    }

    private void recover(Recovery from) {
        life.child.ifPresent(child -> child.ref().tell(new GenerationCommand.Recover(from)));
    }

    /** A compute that prepared in vain goes; nobody waits for its end, for its number is not used again. */
    private void abandonChild() {
        life.child.ifPresent(child -> child.ref().tell(GenerationCommand.Kill.INSTANCE));
        life.child = Optional.empty();
    }

    private Effect<DatabaseEvent, DatabaseState> onGeneration(Existing database, GenerationEvent event) {
        if (is(life.candidate, event.generation())) {
            return onCandidate(database, event);
        }
        if (!is(life.child, event.generation())) {
            return late(event);
        }
        if (life.attempt instanceof Attempt.Preparing preparing && !(event instanceof GenerationEvent.Ended)) {
            List<GenerationEvent> early = new ArrayList<>(preparing.early());
            early.add(event);
            life.attempt = new Attempt.Preparing(preparing.generation(), preparing.recovering(), early);
            return Effect().none();
        }
        return switch (event) {
            case GenerationEvent.Accepting accepting -> onAccepting(database, accepting);
            case GenerationEvent.Configured configured -> onConfigured(database, configured);
            case GenerationEvent.HandOverPrepared ready -> take(database, handoff.onHandOverPrepared(database, ready));
            case GenerationEvent.HandedOver over -> take(database, handoff.onWriterEnded(database));
            case GenerationEvent.Load load -> onLoad(database, load);
            case GenerationEvent.Ended ended -> onEnded(database, ended);
            case GenerationEvent.Followed followed -> late(followed);
        };
    }

    private static boolean is(Optional<Child> child, int generation) {
        return child.filter(one -> one.generation() == generation).isPresent();
    }

    private Effect<DatabaseEvent, DatabaseState> onCandidate(Existing database, GenerationEvent event) {
        return switch (event) {
            case GenerationEvent.Followed followed -> take(database, handoff.onFollowed(database, followed));
            case GenerationEvent.Accepting accepting -> take(database, handoff.onAccepting(database, accepting));
            case GenerationEvent.Configured configured -> take(database, handoff.onConfigured(database, configured));
            case GenerationEvent.Ended ended -> onCandidateEnded(database, ended.reason());
            case GenerationEvent.HandOverPrepared ready -> late(ready);
            case GenerationEvent.HandedOver over -> late(over);
            case GenerationEvent.Load load -> late(load);
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onCandidateEnded(Existing database, String reason) {
        life.candidate = Optional.empty();
        return take(database, handoff.onCandidateEnded(database, reason));
    }

    private Effect<DatabaseEvent, DatabaseState> onAccepting(Existing database, GenerationEvent.Accepting accepting) {
        if (!(life.attempt instanceof Attempt.Starting starting)) {
            return late(accepting);
        }
        life.wake.ifPresent(ColdStarts.Wake::mark);
        life.attempt = starting.accepts(accepting.writer());
        follow(database, accepting.writer());
        life.pools.ifPresent(pools -> tellPoolsWhatComes(pools, database, accepting.writer()));
        return Effect().none();
    }

    /** Before its configuration holds: whoever waits may connect, and sees nothing until then. */
    private static void tellPoolsWhatComes(ActorRef<PoolsCommand> pools, Existing database, WriterAddress writer) {
        pools.tell(new PoolsCommand.WriterComing(database.generation(), location(writer)));
    }

    private static WriterLocation location(WriterAddress writer) {
        return new WriterLocation(writer.host(), writer.port(), writer.socket().map(Path::toString));
    }

    /** The attempt is given up: if the pools were told of it, that is taken back, and clients that were let in are cut off. */
    private void tellPoolsItDoesNotCome() {
        if (life.attempt instanceof Attempt.Starting starting
                && starting.accepting().isPresent()) {
            life.pools.ifPresent(pools -> pools.tell(new PoolsCommand.WriterGone(LeaseEvent.Reason.WRITER_LOST)));
        }
    }

    private void follow(Existing database, WriterAddress writer) {
        askQuorum(
                database.made(),
                replyTo -> new QuorumCommand.Follow(database.generation(), writer, replyTo, quorumEvents),
                timings.bootDeadline().multipliedBy(2)); // the boot deadline comes first
    }

    private Effect<DatabaseEvent, DatabaseState> onFollowAnswered(
            Existing database, Attempt.Starting starting, Outcome<?> outcome) {
        if (outcome instanceof Outcome.Ok<?> ok && ok.value() instanceof QuorumReply.Following) {
            life.wake.ifPresent(wake -> wake.ended("follow"));
            return readyWhenComplete(database, starting.follows());
        }
        return none(() -> killAttempt(starting.generation(), "Safekeepers do not follow: " + Outcome.why(outcome)));
    }

    private Effect<DatabaseEvent, DatabaseState> onConfigured(
            Existing database, GenerationEvent.Configured configured) {
        if (!(life.attempt instanceof Attempt.Starting starting)) {
            return late(configured);
        }
        life.wake.ifPresent(wake -> wake.measured(configured.phases()));
        return readyWhenComplete(database, open(database, starting.configured(configured.version())));
    }

    /**
     * Clients need not wait until Safekeepers follow: what they read is in the quorum, and what they commit waits for it
     * (W8). Should it come to nothing they are cut off as by any other loss of a writer.
     */
    private Attempt.Starting open(Existing database, Attempt.Starting starting) {
        return starting.accepting()
                .map(writer -> {
                    tellPoolsOfWriter(database, writer);
                    return starting.opens();
                })
                .orElse(starting);
    }

    private Effect<DatabaseEvent, DatabaseState> readyWhenComplete(Existing database, Attempt.Starting starting) {
        life.attempt = starting;
        if (!starting.following()
                || starting.configured().isEmpty()
                || starting.accepting().isEmpty()) {
            return Effect().none();
        }
        return persist(
                        database,
                        "writer configured, Safekeepers follow",
                        new GenerationReady(
                                starting.generation(),
                                starting.accepting().get(),
                                starting.configured().getAsInt(),
                                life.lastUsed,
                                now()))
                .thenRun((DatabaseState state) -> ready((Existing) state));
    }

    private void ready(Existing database) {
        life.attempt = Attempt.None.INSTANCE;
        timers.cancel(Timer.BOOT_DEADLINE);
        life.readySince = Optional.of(now());
        handoff.over();
        context.getSelf().tell(Proceed.INSTANCE);
        life.advanced.ifPresent(advanced -> tellPageserver(database, advanced));
        life.wake.ifPresent(wake -> {
            services.coldStarts().record(wake.finish());
            log(() -> context.getLog().info("cold start: generation={} {}", database.generation(), wake));
        });
        life.wake = Optional.empty();
    }

    private void tellPoolsOfWriter(Existing database, WriterAddress writer) {
        ActorRef<PoolsCommand> pools = pools(database);
        pools.tell(new PoolsCommand.SetServerConnections(
                services.profiles().apply(database.runningProfile()).serverConnections()));
        pools.tell(new PoolsCommand.WriterReady(database.generation(), location(writer)));
    }

    /** The child is told to go; the attempt has failed once it is gone. */
    private void killAttempt(int generation, String reason) {
        tellPoolsItDoesNotCome();
        life.attempt = new Attempt.Killing(generation, reason);
        timers.cancel(Timer.BOOT_DEADLINE);
        kill();
    }

    private void kill() {
        life.child.ifPresent(child -> {
            child.ref().tell(GenerationCommand.Kill.INSTANCE);
            timers.startSingleTimer(Timer.KILL_DEADLINE, new Elapsed(Timer.KILL_DEADLINE), timings.killDeadline());
        });
    }

    private Effect<DatabaseEvent, DatabaseState> attemptFailed(Existing database, String reason) {
        tellPoolsItDoesNotCome();
        life.attempt = new Attempt.BackingOff();
        timers.cancel(Timer.BOOT_DEADLINE);
        Instant now = now();
        GenerationFailed failed = new GenerationFailed(database.generation(), reason, now);
        if (database.failures() + 1 < timings.maxFailures()) {
            return persist(database, "attempt failed: " + reason, failed).thenRun((DatabaseState state) -> {
                Duration wait = timings.backOff(((Existing) state).failures());
                timers.startSingleTimer(Timer.RETRY, new Elapsed(Timer.RETRY), wait);
            });
        }
        return persist(database, "too many failed attempts: " + reason, failed, new WakeFailed(reason, now))
                .thenRun((DatabaseState state) -> enterError((Existing) state, reason));
    }

    private void enterError(Existing database, String reason) {
        life.attempt = Attempt.None.INSTANCE;
        life.wake = Optional.empty();
        pools(database)
                .tell(new PoolsCommand.Refuse(new LeaseEvent.Refused(
                        "58000",
                        "database \"" + database.spec().name() + "\" cannot be started: " + reason,
                        "Start it through the API once the cause is gone, or try again in "
                                + timings.errorPause().toSeconds() + " s.")));
        timers.startSingleTimer(Timer.ERROR_PAUSE, new Elapsed(Timer.ERROR_PAUSE), timings.errorPause());
        asleep();
    }

    // ---- stop and loss ------------------------------------------------------------------------------------------

    private Effect<DatabaseEvent, DatabaseState> onStop(Existing database, Stop stop) {
        return switch (database.lifecycle()) {
            case READY ->
                database.scaleState().pastTheWriter()
                        ? stopAfterTheHandoff(database, stop)
                        : stopWriter(database, StopCause.REQUESTED)
                                .thenRun((DatabaseState state) -> stop.replyTo().tell(accepted((Existing) state)));
            case BOOTING -> {
                Optional<ActorRef<PoolsCommand>> waiting = life.pools;
                yield cancelBoot(database, StopCause.REQUESTED).thenRun((DatabaseState state) -> {
                    waiting.ifPresent(pools -> refuseWaiting(database, pools));
                    stop.replyTo().tell(accepted((Existing) state));
                });
            }
            case STOPPED -> {
                if (life.wakeLater) {
                    timers.cancel(Timer.RETRY);
                    life.wakeLater = false;
                    life.pools.ifPresent(pools -> refuseWaiting(database, pools));
                }
                yield answer(stop.replyTo(), accepted(database));
            }
            case STOPPING, ERROR -> answer(stop.replyTo(), accepted(database));
            case CREATING -> answer(stop.replyTo(), new DatabaseReply.Conflict("the database is still being created"));
            case DELETING -> answer(stop.replyTo(), new DatabaseReply.Conflict("the database is being deleted"));
            case ABSENT, DELETED -> answer(stop.replyTo(), new DatabaseReply.NotFound());
        };
    }

    private Effect<DatabaseEvent, DatabaseState> stopAfterTheHandoff(Existing database, Stop stop) {
        life.stopLater = true;
        return answer(stop.replyTo(), accepted(database));
    }

    /** Those who wait now are sent away (their demand was announced once and would be forgotten); later ones wake it. */
    private static void refuseWaiting(Existing database, ActorRef<PoolsCommand> pools) {
        pools.tell(new PoolsCommand.Refuse(new LeaseEvent.Refused(
                "57P03",
                "database \"" + database.spec().name() + "\" was stopped by request while it was starting",
                "Connect again to start it.")));
        pools.tell(PoolsCommand.Admit.INSTANCE);
    }

    private Effect<DatabaseEvent, DatabaseState> onIdle(Existing database, Idle idle) {
        Duration half = database.spec().tunables().idleTimeout().dividedBy(2);
        Duration crossing = half.compareTo(MAX_CROSSING) < 0 ? half : MAX_CROSSING;
        boolean usedMeanwhile =
                life.lastUsed.filter(used -> used.plus(crossing).isAfter(now())).isPresent();
        if (database.lifecycle() != Lifecycle.READY
                || idle.generation() != database.generation()
                || database.scaleState().pastTheWriter()
                || usedMeanwhile) {
            return late(idle);
        }
        return stopWriter(database, StopCause.IDLE);
    }

    private EffectBuilder<DatabaseEvent, DatabaseState> stopWriter(Existing database, StopCause cause) {
        return persist(database, "stop: cause=" + cause, new StoppingStarted(database.generation(), cause, now()))
                .thenRun((DatabaseState state) -> {
                    handoff.over();
                    life.stopLater = false;
                    life.pools.ifPresent(pools -> pools.tell(new PoolsCommand.WriterGone(reasonFor(cause))));
                    life.child.ifPresent(child -> child.ref().tell(GenerationCommand.Stop.INSTANCE));
                    timers.startSingleTimer(
                            Timer.STOP_DEADLINE,
                            new Elapsed(Timer.STOP_DEADLINE),
                            cause == StopCause.MOVING ? timings.leaveDeadline() : timings.stopDeadline());
                });
    }

    private static LeaseEvent.Reason reasonFor(StopCause cause) {
        return cause == StopCause.MOVING ? LeaseEvent.Reason.WRITER_LOST : LeaseEvent.Reason.STOPPED;
    }

    private EffectBuilder<DatabaseEvent, DatabaseState> cancelBoot(Existing database, StopCause cause) {
        life.pools.ifPresent(pools -> pools.tell(new PoolsCommand.WriterGone(reasonFor(cause))));
        life.attempt = Attempt.None.INSTANCE;
        life.wake = Optional.empty();
        life.wakeLater = false;
        life.question++; // whatever is still being asked is asked no more
        timers.cancel(Timer.BOOT_DEADLINE);
        timers.cancel(Timer.RETRY);
        StoppingStarted stopping = new StoppingStarted(database.generation(), cause, now());
        if (life.child.isPresent()) {
            return persist(database, "start cancelled: cause=" + cause, stopping)
                    .thenRun(this::kill);
        }
        return persist(database, "start cancelled: cause=" + cause, stopping, ended(database, true, "start cancelled"))
                .thenRun((DatabaseState state) -> asleep());
    }

    private Effect<DatabaseEvent, DatabaseState> onGenerationTerminated(Existing database, GenerationTerminated dead) {
        if (is(life.candidate, dead.generation())) {
            return onCandidateEnded(database, "its actor stopped unexpectedly");
        }
        if (life.child.filter(child -> child.generation() == dead.generation()).isEmpty()) {
            return Effect().none(); // it said Ended before: the usual case
        }
        return onEnded(
                database,
                new GenerationEvent.Ended(dead.generation(), false, "the compute's actor stopped unexpectedly"));
    }

    private Effect<DatabaseEvent, DatabaseState> onEnded(Existing database, GenerationEvent.Ended ended) {
        life.child = Optional.empty();
        timers.cancel(Timer.STOP_DEADLINE);
        timers.cancel(Timer.KILL_DEADLINE);
        life.quorum.ifPresent(quorum -> quorum.tell(new QuorumCommand.Release(ended.generation())));
        return switch (database.lifecycle()) {
            case BOOTING ->
                attemptFailed(
                        database, life.attempt instanceof Attempt.Killing killing ? killing.reason() : ended.reason());
            case READY -> onWriterEnded(database, ended);
            case STOPPING ->
                persist(database, "writer ended", ended(database, true, ended.reason()))
                        .thenRun((DatabaseState state) -> asleep());
            case DELETING -> none(() -> continueDeletion(database));
            case ABSENT, CREATING, STOPPED, ERROR, DELETED -> late(ended);
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onWriterEnded(Existing database, GenerationEvent.Ended ended) {
        return switch (database.scaleState()) {
            case STOPPING_OLD -> take(database, handoff.onWriterEnded(database));
            case STARTING_NEW -> late(ended);
            case STEADY, PREPARING, FREEZING, DRAINING, SWITCHING, COOLDOWN, FAILED ->
                lost(database, life.killReason.orElse(ended.reason()));
        };
    }

    /** Asks who holds leases before those are revoked: if anybody does, the next generation is started at once. */
    private Effect<DatabaseEvent, DatabaseState> lost(Existing database, String reason) {
        boolean shortLife = life.readySince
                .filter(since -> since.plus(timings.shortLife()).isAfter(now()))
                .isPresent();
        life.shortLives = shortLife ? life.shortLives + 1 : 0;
        handoff.over();
        return persist(database, "writer lost: " + reason, ended(database, false, reason))
                .thenRun((DatabaseState state) -> {
                    inspectActivity(activity -> new DemandInspected(database.generation(), activity));
                    life.pools.ifPresent(
                            pools -> pools.tell(new PoolsCommand.WriterGone(LeaseEvent.Reason.WRITER_LOST)));
                    asleep();
                });
    }

    private Effect<DatabaseEvent, DatabaseState> onDemandInspected(Existing database, DemandInspected inspected) {
        boolean demand = inspected.activity().filter(Database::inUse).isPresent();
        if (inspected.generation() != database.generation()) {
            return late(inspected);
        }
        return switch (database.lifecycle()) {
            case STOPPED -> demand ? onWake(database) : Effect().none();
            case BOOTING ->
                life.attempt instanceof Attempt.AwaitingQuorum awaiting
                        ? retryOrGiveUp(database, awaiting, demand || unknown(inspected.activity()))
                        : late(inspected);
            case ABSENT, CREATING, READY, STOPPING, ERROR, DELETING, DELETED -> late(inspected);
        };
    }

    /** Without a quorum nothing can start; it is tried for as long as somebody waits, and for one boot deadline anyway. */
    private Effect<DatabaseEvent, DatabaseState> retryOrGiveUp(
            Existing database, Attempt.AwaitingQuorum awaiting, boolean demand) {
        boolean fresh = life.wake
                .filter(wake -> wake.wished().plus(timings.bootDeadline()).isAfter(now()))
                .isPresent();
        if (demand || fresh) {
            return none(() -> prepare(database));
        }
        abandonChild();
        life.attempt = Attempt.None.INSTANCE;
        life.wake = Optional.empty();
        return persist(database, "nobody waits any longer", ended(database, false, awaiting.reason()))
                .thenRun((DatabaseState state) -> asleep());
    }

    /** The pools are there but did not say. */
    private boolean unknown(Optional<PoolsEvent.Activity> activity) {
        return activity.isEmpty() && life.pools.isPresent();
    }

    private static boolean inUse(PoolsEvent.Activity activity) {
        return activity.leases() > 0 || activity.waiting() > 0 || activity.connections() > 0;
    }

    private GenerationEnded ended(Existing database, boolean orderly, String reason) {
        Optional<Measures> heard = life.measures.equals(Measures.NONE) ? Optional.empty() : Optional.of(life.measures);
        return new GenerationEnded(database.generation(), orderly, reason, life.lastUsed, heard, now());
    }

    /** There is no writer now and nothing is being done about it: wake, leave, or wait for what comes. */
    private void asleep() {
        life.readySince = Optional.empty();
        progressed();
        if (life.leaving) {
            context.getSelf().tell(Leave.INSTANCE);
        } else if (life.wakeLater) {
            context.getSelf().tell(Wake.INSTANCE);
        } else {
            timers.startSingleTimer(Timer.PASSIVATE, new Elapsed(Timer.PASSIVATE), timings.passivateAfter());
        }
    }

    private Effect<DatabaseEvent, DatabaseState> onLeave(Existing database) {
        life.leaving = true;
        life.wakeLater = false;
        return switch (database.lifecycle()) {
            case ABSENT, CREATING, STOPPED, ERROR, DELETING, DELETED -> Effect().stop();
            case BOOTING -> {
                leaveInTime();
                yield cancelBoot(database, StopCause.MOVING);
            }
            case READY -> {
                leaveInTime();
                yield stopWriter(database, StopCause.MOVING);
            }
            case STOPPING -> none(this::leaveInTime);
        };
    }

    /** The children are stopped with this actor, whatever they are still doing then. */
    private void leaveInTime() {
        timers.startSingleTimer(
                Timer.LEAVE_DEADLINE,
                new Elapsed(Timer.LEAVE_DEADLINE),
                timings.leaveDeadline().multipliedBy(2));
    }

    // ---- deletion -----------------------------------------------------------------------------------------------

    /** Nothing was written of this database: that there will never be one is. */
    private Effect<DatabaseEvent, DatabaseState> onDeleteOfNothing(Delete delete) {
        return persist(new Absent(), "deleted before it was created", new DatabaseDeleted(now()))
                .thenRun((DatabaseState state) -> {
                    ask(() -> services.catalog().remove(id)); // a row that stays is found by the Reconciler
                    delete.replyTo().tell(new DatabaseReply.NotFound());
                    passivate();
                });
    }

    private Effect<DatabaseEvent, DatabaseState> onDelete(Existing database, Delete delete) {
        if (database.lifecycle() == Lifecycle.DELETING) {
            return answer(delete.replyTo(), accepted(database));
        }
        if (delete.force() || database.lifecycle() != Lifecycle.READY) {
            return startDeletion(database, delete.replyTo());
        }
        return none(() -> inspectActivity(activity -> new DeleteInspected(delete.replyTo(), activity)));
    }

    private Effect<DatabaseEvent, DatabaseState> onDeleteInspected(Existing database, DeleteInspected inspected) {
        if (database.lifecycle() == Lifecycle.DELETING) {
            return answer(inspected.replyTo(), accepted(database));
        }
        if (database.lifecycle() != Lifecycle.READY) {
            return startDeletion(database, inspected.replyTo());
        }
        if (inspected.activity().isEmpty()) {
            return answer(
                    inspected.replyTo(),
                    new DatabaseReply.Unavailable("it is not known now whether connections are active; try again"));
        }
        int connections = inspected.activity().get().connections();
        return connections > 0
                ? answer(
                        inspected.replyTo(),
                        new DatabaseReply.Conflict("the database has " + connections
                                + " active connections: close them, or delete with force=true"))
                : startDeletion(database, inspected.replyTo());
    }

    private Effect<DatabaseEvent, DatabaseState> startDeletion(Existing database, ActorRef<DatabaseReply> replyTo) {
        return persist(database, "deletion requested", new DeletionStarted(now()))
                .thenRun((DatabaseState state) -> {
                    forgetPlans();
                    handoff.over();
                    DatabaseReply conflict = new DatabaseReply.Conflict("the database is being deleted");
                    life.creators.forEach(creator -> creator.tell(conflict));
                    life.creators.clear();
                    life.pools.ifPresent(pools -> {
                        pools.tell(new PoolsCommand.WriterGone(LeaseEvent.Reason.DELETED));
                        pools.tell(refusal());
                    });
                    replyTo.tell(accepted((Existing) state));
                    if (life.child.isPresent()) {
                        kill();
                    } else {
                        continueDeletion((Existing) state);
                    }
                });
    }

    private void forgetPlans() {
        life.attempt = Attempt.None.INSTANCE;
        life.ahead = Optional.empty();
        life.wake = Optional.empty();
        life.wakeLater = false;
        progressed();
        life.question++; // whatever is still being asked is asked no more
        List.of(Timer.RETRY, Timer.BOOT_DEADLINE, Timer.STOP_DEADLINE, Timer.ERROR_PAUSE, Timer.PASSIVATE)
                .forEach(timers::cancel);
    }

    private static PoolsCommand refusal() {
        return new PoolsCommand.Refuse(
                new LeaseEvent.Refused("57P03", "database is being deleted", "Use another database."));
    }

    /** The step that has not succeeded yet; each ends in {@link #onDeletionAnswered}. */
    private void continueDeletion(Existing database) {
        switch (life.removal) {
            case SAFEKEEPERS ->
                database.begin()
                        .ifPresentOrElse(
                                base -> askQuorum(base, QuorumCommand.Delete::new, timings.prepareTimeout()),
                                () -> nextRemoval(database));
            case OBJECTS ->
                ask(() -> services.timelines().delete(database.spec().timeline()));
            case CATALOG -> ask(() -> services.catalog().remove(id));
        }
    }

    private void nextRemoval(Existing database) {
        progressed();
        life.removal = life.removal == Removal.SAFEKEEPERS ? Removal.OBJECTS : Removal.CATALOG;
        continueDeletion(database);
    }

    private Effect<DatabaseEvent, DatabaseState> onDeletionAnswered(Existing database, Outcome<?> outcome) {
        return switch (outcome) {
            case Outcome.Ok<?> ok ->
                ok.value() instanceof QuorumReply.Unavailable unavailable
                        ? none(() -> retry("deletion", unavailable.reason()))
                        : onRemoved(database);
            case Outcome.Failed<?> failed -> none(() -> retry("deletion", failed.reason()));
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onRemoved(Existing database) {
        return life.removal == Removal.CATALOG ? deleted(database) : none(() -> nextRemoval(database));
    }

    private Effect<DatabaseEvent, DatabaseState> deleted(Existing database) {
        return persist(database, "nothing is left of it", new DatabaseDeleted(now()))
                .thenRun(this::passivate);
    }

    // ---- recovery, passivation, children ------------------------------------------------------------------------

    private Effect<DatabaseEvent, DatabaseState> settled() {
        life.settled = true;
        timers.startSingleTimer(Timer.PASSIVATE, new Elapsed(Timer.PASSIVATE), timings.passivateAfter());
        return Effect().unstashAll();
    }

    private Effect<DatabaseEvent, DatabaseState> onRecovered(Existing database) {
        life.settled = true;
        project(database);
        return switch (database.lifecycle()) {
            case CREATING -> {
                continueCreation(database);
                yield Effect().unstashAll();
            }
            case DELETING -> {
                continueDeletion(database);
                yield Effect().unstashAll();
            }
            case BOOTING, READY, STOPPING ->
                persist(
                                database,
                                "recovered without a writer",
                                ended(database, false, "the actor that owned the writer was lost"))
                        .thenRun((DatabaseState state) -> asleep())
                        .thenUnstashAll();
            case ABSENT, STOPPED, ERROR, DELETED -> {
                life.skipped = database.generation() > TimelineBase.CREATION ? 1 : 0;
                asleep();
                yield Effect().unstashAll();
            }
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onPassivationInspected(
            Existing database, PassivationInspected inspected) {
        if (database.lifecycle() != Lifecycle.STOPPED && database.lifecycle() != Lifecycle.ERROR) {
            return late(inspected);
        }
        if (unknown(inspected.activity())
                || inspected.activity().filter(Database::inUse).isPresent()) {
            timers.startSingleTimer(Timer.PASSIVATE, new Elapsed(Timer.PASSIVATE), timings.passivateAfter());
        } else {
            passivate();
        }
        return Effect().none();
    }

    private void passivate() {
        shard.tell(new ClusterSharding.Passivate<>(context.getSelf()));
    }

    private Effect<DatabaseEvent, DatabaseState> onElapsedAsleep(Elapsed elapsed) {
        return elapsed.timer() == Timer.PASSIVATE ? none(this::passivate) : late(elapsed);
    }

    private Effect<DatabaseEvent, DatabaseState> onElapsed(Existing database, Timer timer) {
        return switch (timer) {
            case RETRY -> onRetry(database);
            case BOOT_DEADLINE -> onBootDeadline(database);
            case STOP_DEADLINE -> database.lifecycle() == Lifecycle.STOPPING ? none(this::kill) : late(timer);
            case KILL_DEADLINE -> none(() -> life.child.ifPresent(child -> context.stop(child.ref())));
            case LEAVE_DEADLINE -> life.leaving ? Effect().stop() : late(timer);
            case ERROR_PAUSE -> none(() -> life.pools.ifPresent(pools -> pools.tell(PoolsCommand.Admit.INSTANCE)));
            case PASSIVATE -> none(() -> inspectActivity(PassivationInspected::new));
            case RESPAWN_POOLS ->
                database.lifecycle() == Lifecycle.READY
                                && !database.scaleState().pastTheWriter()
                        ? none(() -> pools(database))
                        : late(timer);
            case RESPAWN_QUORUM -> none(() -> askQuorumAgain(database));
            case PROJECT -> none(() -> project(database));
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onRetry(Existing database) {
        return switch (database.lifecycle()) {
            case CREATING -> none(() -> continueCreation(database));
            case DELETING -> none(() -> continueDeletion(database));
            case STOPPED ->
                life.wakeLater && !life.leaving
                        ? startGeneration(database, nextGeneration(database), "the writer before was short-lived")
                        : late(Timer.RETRY);
            case BOOTING -> onBootRetry(database);
            case ABSENT, READY, STOPPING, ERROR, DELETED -> late(Timer.RETRY);
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onBootRetry(Existing database) {
        return switch (life.attempt) {
            case Attempt.BackingOff backingOff ->
                startGeneration(database, database.nextGeneration(), "attempt " + (database.failures() + 1));
            case Attempt.AwaitingQuorum awaiting -> {
                inspectActivity(activity -> new DemandInspected(database.generation(), activity));
                yield Effect().none();
            }
            case Attempt.None none -> late(Timer.RETRY);
            case Attempt.Preparing preparing -> late(Timer.RETRY);
            case Attempt.Starting starting -> late(Timer.RETRY);
            case Attempt.Killing killing -> late(Timer.RETRY);
        };
    }

    private Effect<DatabaseEvent, DatabaseState> onBootDeadline(Existing database) {
        if (database.lifecycle() != Lifecycle.BOOTING || !(life.attempt instanceof Attempt.Starting starting)) {
            return late(Timer.BOOT_DEADLINE);
        }
        return none(() -> killAttempt(
                starting.generation(),
                "not ready in time: limit=%s accepting=%s following=%s configured=%s"
                        .formatted(
                                timings.bootDeadline(),
                                starting.accepting().isPresent(),
                                starting.following(),
                                starting.configured().isPresent())));
    }

    private Effect<DatabaseEvent, DatabaseState> onPoolsTerminated(PoolsTerminated dead) {
        if (life.pools.filter(dead.dead()::equals).isPresent()) {
            log(() -> context.getLog().error("pools died: spawned again in {}", RESPAWN_AFTER));
            life.pools = Optional.empty();
            timers.startSingleTimer(Timer.RESPAWN_POOLS, new Elapsed(Timer.RESPAWN_POOLS), RESPAWN_AFTER);
        }
        return Effect().none();
    }

    private Effect<DatabaseEvent, DatabaseState> onQuorumTerminated(Existing database, QuorumTerminated dead) {
        if (life.quorum.filter(dead.dead()::equals).isPresent()) {
            log(() -> context.getLog().error("quorum died: spawned again in {}", RESPAWN_AFTER));
            life.quorum = Optional.empty();
            life.ahead = Optional.empty();
            life.waiting = Optional.empty();
            timers.startSingleTimer(Timer.RESPAWN_QUORUM, new Elapsed(Timer.RESPAWN_QUORUM), RESPAWN_AFTER);
            if (life.attempt instanceof Attempt.Preparing || life.attempt instanceof Attempt.AwaitingQuorum) {
                // It may have chosen where this generation begins: only another number may be chosen for again.
                return none(() -> killAttempt(database.generation(), "its quorum was lost while it prepared"));
            }
            if (database.scaleState() == ScaleState.STARTING_NEW) {
                return take(database, new Handoff.Lost("its quorum was lost while it took over"));
            }
        }
        return Effect().none();
    }

    /** A quorum that knows nothing of this generation cannot look after it: the writer is replaced. */
    private Effect<DatabaseEvent, DatabaseState> onFollowedAgain(Outcome<?> outcome) {
        if (outcome instanceof Outcome.Ok<?> ok && ok.value() instanceof QuorumReply.Following) {
            return late(outcome);
        }
        return none(() -> killWriter("its quorum was lost and another does not follow it: " + Outcome.why(outcome)));
    }

    /** Its commits would wait for ever. The next generation has everything that it acknowledged. */
    private Effect<DatabaseEvent, DatabaseState> onQuorum(Existing database, QuorumEvent event) {
        return switch (event) {
            case QuorumEvent.Chosen chosen -> onChosen(chosen);
            case QuorumEvent.Unfollowable unfollowable -> onUnfollowable(database, unfollowable);
            case QuorumEvent.Waiting waiting -> onWaiting(database, waiting);
            case QuorumEvent.Advanced advanced -> onAdvanced(database, advanced);
        };
    }

    /** Best effort: a Pageserver that is not there now hears of it the next time, or at the next start. */
    private Effect<DatabaseEvent, DatabaseState> onAdvanced(Existing database, QuorumEvent.Advanced advanced) {
        if (database.lifecycle() == Lifecycle.DELETING) {
            return late(advanced);
        }
        life.measures = life.measures.withWalEnd(advanced.end());
        life.advanced = Optional.of(advanced);
        handoff.onAdvanced(database, advanced);
        prepareAhead(database, advanced);
        tellPageserver(database, advanced);
        return advanced.over() ? measured(database) : Effect().none();
    }

    /** Writes what is new, but not where clients would wait for that: the next time, or the generation's end, does. */
    private Effect<DatabaseEvent, DatabaseState> measured(Existing database) {
        boolean quiet = switch (database.lifecycle()) {
            case STOPPED, ERROR -> true;
            case READY -> !database.scaleState().frozen();
            case ABSENT, CREATING, BOOTING, STOPPING, DELETING, DELETED -> false;
        };
        Measures known = life.measures.or(database.measures());
        return quiet && !known.equals(database.measures())
                ? persist(database, "measured", new TimelineMeasured(known, life.lastUsed, now()))
                : Effect().none();
    }

    private void tellPageserver(Existing database, QuorumEvent.Advanced advanced) {
        Base base = database.made();
        services.pageservers()
                .of(base.timeline().timeline())
                .ifPresent(pageserver -> pageserver.tell(new PageserverCommand.Advance(
                        base.timeline(),
                        base.image(),
                        advanced.history(),
                        advanced.end(),
                        advanced.sources(),
                        advanced.over(),
                        database.lifecycle() == Lifecycle.BOOTING,
                        pageserverReplies)));
    }

    private Effect<DatabaseEvent, DatabaseState> onPageserver(Existing database, PageserverReply reply) {
        if (!(reply instanceof PageserverReply.Snapshot snapshot)) {
            return late(reply);
        }
        life.measures = life.measures.withSnapshot(snapshot.end(), snapshot.storedBytes());
        life.quorum.ifPresent(quorum -> quorum.tell(new QuorumCommand.Horizon(snapshot.horizon())));
        life.child.ifPresent(child -> child.ref().tell(new GenerationCommand.SnapshotPublished(snapshot.end())));
        return measured(database);
    }

    private Effect<DatabaseEvent, DatabaseState> onWaiting(Existing database, QuorumEvent.Waiting waiting) {
        life.waiting = waiting.reason();
        log(() -> context.getLog()
                .warn(
                        "generation={} {}",
                        waiting.generation(),
                        waiting.reason().orElse("commits go on: Safekeepers take WAL again")));
        return none(() -> project(database));
    }

    private Effect<DatabaseEvent, DatabaseState> onUnfollowable(
            Existing database, QuorumEvent.Unfollowable unfollowable) {
        if (unfollowable.generation() != database.generation()) {
            return late(unfollowable);
        }
        return switch (database.lifecycle()) {
            case BOOTING ->
                life.attempt instanceof Attempt.Starting starting
                        ? none(() -> killAttempt(starting.generation(), unfollowable.reason()))
                        : late(unfollowable);
            case READY -> none(() -> killWriter(unfollowable.reason()));
            case ABSENT, CREATING, STOPPED, STOPPING, ERROR, DELETING, DELETED -> late(unfollowable);
        };
    }

    private void killWriter(String reason) {
        log(() -> context.getLog().warn("writer killed: {}", reason));
        life.killReason = Optional.of(reason);
        kill();
    }

    /** What the dead quorum was doing is asked of a new one. */
    private void askQuorumAgain(Existing database) {
        switch (database.lifecycle()) {
            case CREATING -> continueCreation(database);
            case BOOTING -> askBootAgain(database);
            case READY -> {
                if (!handoff.asks()) {
                    follow(database, database.writer().orElseThrow());
                }
            }
            case DELETING -> {
                if (life.child.isEmpty()) {
                    continueDeletion(database);
                }
            }
            case ABSENT, STOPPED, STOPPING, ERROR, DELETED -> {}
        }
    }

    private void askBootAgain(Existing database) {
        switch (life.attempt) {
            case Attempt.Starting starting -> starting.accepting().ifPresent(writer -> follow(database, writer));
            case Attempt.None none -> {}
            case Attempt.Preparing preparing -> {}
            case Attempt.AwaitingQuorum awaiting -> {}
            case Attempt.Killing killing -> {}
            case Attempt.BackingOff backingOff -> {}
        }
    }

    private ActorRef<PoolsCommand> pools(Existing database) {
        return life.pools.orElseGet(() -> {
            ActorRef<PoolsCommand> pools = context.spawn(services.pools().apply(poolsEvents), childName("pools"));
            context.watchWith(pools, new PoolsTerminated(pools));
            life.pools = Optional.of(pools);
            pools.tell(
                    new PoolsCommand.SetIdleTimeout(database.spec().tunables().idleTimeout()));
            if (database.lifecycle() == Lifecycle.DELETING) {
                pools.tell(refusal());
            } else if (database.lifecycle() == Lifecycle.READY
                    && !database.scaleState().pastTheWriter()) {
                tellPoolsOfWriter(database, database.writer().orElseThrow());
            } else if (database.lifecycle() == Lifecycle.BOOTING && life.attempt instanceof Attempt.Starting starting) {
                starting.accepting().ifPresent(writer -> {
                    if (starting.open()) {
                        tellPoolsOfWriter(database, writer);
                    } else {
                        tellPoolsWhatComes(pools, database, writer);
                    }
                });
            }
            return pools;
        });
    }

    private ActorRef<QuorumCommand> quorum(Base base) {
        return life.quorum.orElseGet(() -> {
            ActorRef<QuorumCommand> quorum =
                    context.spawn(services.quorum().apply(base.timeline()), childName("quorum"));
            context.watchWith(quorum, new QuorumTerminated(quorum));
            life.quorum = Optional.of(quorum);
            return quorum;
        });
    }

    private String childName(String role) {
        life.spawned++;
        return role + "-" + life.spawned;
    }

    // ---- leases, description ------------------------------------------------------------------------------------

    private Effect<DatabaseEvent, DatabaseState> onLease(Existing database, LeaseCommand command) {
        switch (command) {
            case LeaseCommand.Acquire acquire -> {
                life.lastUsed = Optional.of(now());
                pools(database).tell(new PoolsCommand.FromGateway(acquire));
            }
            case LeaseCommand.Renew renew -> {
                if (renew.connections() > 0) {
                    life.lastUsed = Optional.of(now());
                }
                pools(database).tell(new PoolsCommand.FromGateway(renew));
            }
            case LeaseCommand.Draining draining ->
                life.pools.ifPresent(pools -> pools.tell(new PoolsCommand.FromGateway(draining)));
            case LeaseCommand.Release release ->
                life.pools.ifPresent(pools -> pools.tell(new PoolsCommand.FromGateway(release)));
        }
        return Effect().none();
    }

    private Effect<DatabaseEvent, DatabaseState> refuse(LeaseCommand command, String message) {
        if (command instanceof LeaseCommand.Acquire acquire) {
            acquire.replyTo().tell(new LeaseEvent.Refused("3D000", message, "Create it through the API."));
        }
        return Effect().none();
    }

    private Effect<DatabaseEvent, DatabaseState> onChange(Existing database, Change change) {
        if (database.lifecycle() == Lifecycle.DELETING) {
            return answer(change.replyTo(), new DatabaseReply.Conflict("the database is being deleted"));
        }
        List<DatabaseEvent> events = new ArrayList<>();
        events.add(new TunablesChanged(change.tunables(), now()));
        change.size().filter(size -> size != database.spec().size()).ifPresent(size -> {
            handoff.forgive();
            events.add(new SizeChanged(size, now()));
        });
        return persist(database, "tunables changed", events.toArray(DatabaseEvent[]::new))
                .thenRun((DatabaseState state) -> {
                    context.getSelf().tell(Proceed.INSTANCE);
                    life.pools.ifPresent(pools -> pools.tell(
                            new PoolsCommand.SetIdleTimeout(change.tunables().idleTimeout())));
                    change.replyTo().tell(accepted((Existing) state));
                });
    }

    private Effect<DatabaseEvent, DatabaseState> onScale(Existing database, Scale scale) {
        if (database.lifecycle() == Lifecycle.DELETING) {
            return answer(scale.replyTo(), new DatabaseReply.Conflict("the database is being deleted"));
        }
        return choose(database, scale.profile(), "asked for")
                .thenRun((DatabaseState state) -> scale.replyTo().tell(accepted((Existing) state)));
    }

    private EffectBuilder<DatabaseEvent, DatabaseState> choose(Existing database, Profile profile, String reason) {
        handoff.forgive();
        return persist(database, profile + " chosen: " + reason, new ProfileChosen(profile, reason, now()))
                .thenRun((DatabaseState state) -> context.getSelf().tell(Proceed.INSTANCE));
    }

    /** Looks every second whether another profile would do better; only between handoffs. */
    private Effect<DatabaseEvent, DatabaseState> onLoad(Existing database, GenerationEvent.Load load) {
        life.load
                .add(load, life.queue, now())
                .ifPresent(sample ->
                        log(() -> context.getLog().debug("load: generation={} {}", load.generation(), sample)));
        if (database.lifecycle() != Lifecycle.READY || database.scaleState() != ScaleState.STEADY) {
            return Effect().none();
        }
        Autoscaler.Decision decision = Autoscaler.decide(
                services.autoscaler(),
                database.spec().tunables(),
                profile -> capacity(services.profiles().apply(profile)),
                database.chosenProfile(),
                life.load.samples(),
                now());
        life.decision = Optional.of(decision.explanation());
        return decision.profile().isPresent()
                ? choose(database, decision.profile().get(), decision.explanation())
                : Effect().none();
    }

    private static Capacity capacity(io.spg99.compute.generation.Profile profile) {
        return new Capacity(profile.cpus(), profile.memoryMb() - profile.sharedBuffersMb());
    }

    // ---- handoff ------------------------------------------------------------------------------------------------

    private Effect<DatabaseEvent, DatabaseState> onProceed(Existing database) {
        if (life.leaving) {
            return late(Proceed.INSTANCE);
        }
        if (life.stopLater
                && database.lifecycle() == Lifecycle.READY
                && !database.scaleState().pastTheWriter()) {
            return stopWriter(database, StopCause.REQUESTED);
        }
        return take(database, handoff.proceed(database));
    }

    private Effect<DatabaseEvent, DatabaseState> take(Existing database, Handoff.Step step) {
        if (database.lifecycle() != Lifecycle.READY) {
            return late(step);
        }
        return switch (step) {
            case Handoff.Lost lost -> {
                life.child.ifPresent(child -> child.ref().tell(GenerationCommand.Kill.INSTANCE));
                life.child = Optional.empty();
                yield lost(database, "handoff: " + lost.reason());
            }
            case Handoff.Go go ->
                go.events().isEmpty()
                        ? none(() -> go.then().accept(database))
                        : persist(database, go.reason(), go.events().toArray(DatabaseEvent[]::new))
                                .thenRun((DatabaseState state) -> go.then().accept((Existing) state));
        };
    }

    private Handoff newHandoff() {
        return new Handoff(new HandoffWorld(), services.handoffTimings(), services.handoffs());
    }

    private final class HandoffWorld implements Handoff.World {

        @Override
        public void spawnCandidate(Existing database, int generation) {
            life.candidate = Optional.of(spawnGeneration(database, generation, OptionalInt.of(database.generation())));
        }

        @Override
        public void dropCandidate() {
            life.candidate.ifPresent(child -> child.ref().tell(GenerationCommand.Kill.INSTANCE));
            life.candidate = Optional.empty();
        }

        @Override
        public void tellCandidate(GenerationCommand command) {
            life.candidate.ifPresent(child -> child.ref().tell(command));
        }

        @Override
        public void tellWriter(GenerationCommand command) {
            life.child.ifPresent(child -> child.ref().tell(command));
        }

        @Override
        public void tellPools(PoolsCommand command) {
            life.pools.ifPresent(pools -> pools.tell(command));
        }

        @Override
        public void freeze(Existing database, Duration limit) {
            // Also if nobody has used it yet: somebody may come in the middle.
            pools(database).tell(new PoolsCommand.Freeze(limit, freezeEvents));
        }

        @Override
        public void prepare(Existing database, int generation) {
            askQuorum(
                    database.made(),
                    replyTo -> new QuorumCommand.Prepare(generation, replyTo, quorumEvents),
                    timings.prepareTimeout());
        }

        @Override
        public void follow(Existing database, int generation, WriterAddress writer) {
            tellPools(new PoolsCommand.WriterComing(generation, location(writer)));
            askQuorum(
                    database.made(),
                    replyTo -> new QuorumCommand.Follow(generation, writer, replyTo, quorumEvents),
                    timings.bootDeadline());
        }

        @Override
        public void switched(Existing database) {
            life.child = life.candidate;
            life.candidate = Optional.empty();
            life.killReason = Optional.empty();
            life.readySince = Optional.of(now());
            tellPoolsOfWriter(database, database.writer().orElseThrow());
        }

        @Override
        public void proceedSoon() {
            context.getSelf().tell(Proceed.INSTANCE);
        }

        @Override
        public void start(Handoff.Timer timer, Duration after) {
            timers.startSingleTimer(timer, new HandoffElapsed(timer), after);
        }

        @Override
        public void cancel(Handoff.Timer timer) {
            timers.cancel(timer);
        }

        @Override
        public Instant now() {
            return Database.this.now();
        }

        @Override
        public void info(String line) {
            log(() -> context.getLog().info(line));
        }
    }

    // ---- description --------------------------------------------------------------------------------------------

    private Effect<DatabaseEvent, DatabaseState> onDescribe(Describe describe) {
        CompletionStage<Optional<Lsn>> end = life.quorum
                .map(quorum -> AskPattern.<QuorumCommand, QuorumReply>ask(
                                quorum,
                                QuorumCommand.GetPositions::new,
                                timings.activityTimeout(),
                                context.getSystem().scheduler())
                        .handle((reply, failure) -> reply instanceof QuorumReply.Positions positions
                                        && !positions.quorum().equals(Lsn.ZERO)
                                ? Optional.of(positions.quorum())
                                : Optional.<Lsn>empty()))
                .orElseGet(() -> CompletableFuture.completedStage(Optional.empty()));
        context.pipeToSelf(
                activity().thenCombine(end, (activity, lsn) -> new Inspected(describe.replyTo(), activity, lsn)),
                (inspected, failure) -> inspected == null
                        ? new Inspected(describe.replyTo(), Optional.empty(), Optional.empty())
                        : inspected);
        return Effect().none();
    }

    private Effect<DatabaseEvent, DatabaseState> onInspected(Existing database, Inspected inspected) {
        life.connections =
                inspected.activity().map(PoolsEvent.Activity::connections).orElse(0);
        inspected.end().ifPresent(end -> life.measures = life.measures.withWalEnd(end));
        return answer(inspected.replyTo(), new DatabaseReply.Described(view(database)));
    }

    private DatabaseReply accepted(Existing database) {
        return new DatabaseReply.Accepted(view(database), lastSequenceNumber(context));
    }

    private DatabaseView view(Existing database) {
        DatabaseSpec spec = database.spec();
        Tunables tunables = spec.tunables();
        Measures measures = life.measures.or(database.measures());
        boolean wanted = database.lifecycle() == Lifecycle.BOOTING || database.lifecycle() == Lifecycle.READY;
        return new DatabaseView(
                spec.databaseId(),
                spec.name(),
                spec.tenant(),
                spec.size(),
                database.lifecycle().word(),
                spec.timelineId(),
                database.generation(),
                Optional.of(services.workerId()),
                database.createdAt(),
                life.lastUsed.or(database::lastUsed),
                database.lifecycle() == Lifecycle.READY ? life.connections : 0,
                database.lifecycle() == Lifecycle.READY ? 1 : 0,
                wanted || life.wakeLater ? 1 : 0,
                database.runningProfile(),
                database.chosenProfile(),
                database.scaling().preparing(),
                database.scaleState().name(),
                database.scaleState().frozen(),
                database.scaling().failure(),
                IdleTimeout.format(tunables.idleTimeout()),
                tunables.autoscale(),
                tunables.minProfile(),
                tunables.maxProfile(),
                life.waiting.or(() -> life.delay).or(database::lastError),
                measures.storedBytes(),
                measures.walEnd().map(Lsn::toString),
                measures.snapshotEnd().map(Lsn::toString),
                database.scaling().choice(),
                life.decision,
                Optional.of(services.enforced() ? "cgroup" : "settings"),
                tunables.poolMode());
    }

    // ---- projection ---------------------------------------------------------------------------------------------

    /** Best effort, repeated until it works: whoever needs the truth asks the actor. */
    private void project(DatabaseState state) {
        if (!(state instanceof Existing database)) {
            return;
        }
        if (life.projecting) {
            life.projectAgain = true;
            return;
        }
        life.projecting = true;
        life.projectAgain = false;
        CompletionStage<Done> written =
                attempt(() -> services.catalog().project(view(database), lastSequenceNumber(context)));
        context.pipeToSelf(written, (done, failure) -> new Projected(Outcome.of(done, failure)));
    }

    private Effect<DatabaseEvent, DatabaseState> onProjected(Existing database, Projected projected) {
        life.projecting = false;
        switch (projected.outcome()) {
            case Outcome.Ok<Done> ok -> {
                if (life.projectAgain) {
                    project(database);
                }
            }
            case Outcome.Failed<Done> failed -> {
                log(() -> context.getLog()
                        .warn("catalog not written: again_in={} reason={}", PROJECT_AGAIN, failed.reason()));
                timers.startSingleTimer(Timer.PROJECT, new Elapsed(Timer.PROJECT), PROJECT_AGAIN);
            }
        }
        return Effect().none();
    }

    // ---- helpers ------------------------------------------------------------------------------------------------

    private Effect<DatabaseEvent, DatabaseState> onAnswered(Existing database, Answered<?> answered) {
        if (answered.question() != life.question) {
            return late(answered);
        }
        return switch (database.lifecycle()) {
            case CREATING -> onCreationAnswered(database, answered.outcome());
            case BOOTING -> onBootAnswered(database, answered.outcome());
            case DELETING -> onDeletionAnswered(database, answered.outcome());
            case READY ->
                handoff.asks()
                        ? take(database, handoff.onQuorum(database, answered.outcome()))
                        : onFollowedAgain(answered.outcome());
            case STOPPED -> onAheadAnswered(answered.outcome());
            case ABSENT, STOPPING, ERROR, DELETED -> late(answered);
        };
    }

    /** Asks a port; the answer to any older question is not waited for any longer. */
    private <T> void ask(Supplier<CompletionStage<T>> port) {
        long question = ++life.question;
        context.pipeToSelf(attempt(port), (value, failure) -> new Answered<>(question, Outcome.of(value, failure)));
    }

    private static <T> CompletionStage<T> attempt(Supplier<CompletionStage<T>> port) {
        try {
            return port.get();
        } catch (RuntimeException e) {
            return CompletableFuture.failedStage(e);
        }
    }

    private void askQuorum(Base base, Function<ActorRef<QuorumReply>, QuorumCommand> command, Duration timeout) {
        long question = ++life.question;
        context.ask(
                QuorumReply.class,
                quorum(base),
                timeout,
                command::apply,
                (reply, failure) -> new Answered<>(question, Outcome.of(reply, failure)));
    }

    private void inspectActivity(Function<Optional<PoolsEvent.Activity>, Command> inspected) {
        context.pipeToSelf(
                activity(), (activity, failure) -> inspected.apply(activity == null ? Optional.empty() : activity));
    }

    /** Empty if there are no pools, or they do not answer. Never fails. */
    private CompletionStage<Optional<PoolsEvent.Activity>> activity() {
        return life.pools
                .map(pools -> AskPattern.<PoolsCommand, PoolsEvent.Activity>ask(
                                pools,
                                PoolsCommand.GetActivity::new,
                                timings.activityTimeout(),
                                context.getSystem().scheduler())
                        .handle((activity, failure) -> Optional.ofNullable(activity)))
                .orElseGet(() -> CompletableFuture.completedStage(Optional.empty()));
    }

    private EffectBuilder<DatabaseEvent, DatabaseState> persist(
            DatabaseState before, String reason, DatabaseEvent... events) {
        return Effect().persist(List.of(events)).thenRun((DatabaseState after) -> {
            if (before.lifecycle() != after.lifecycle()) {
                say(
                        before,
                        after,
                        "state",
                        before.lifecycle().word(),
                        after.lifecycle().word(),
                        reason);
            }
            if (before instanceof Existing from
                    && after instanceof Existing to
                    && from.scaleState() != to.scaleState()) {
                sayScale(from, events, reason);
            }
            project(after);
        });
    }

    /** Each state that the events lead through. */
    private void sayScale(Existing before, DatabaseEvent[] events, String reason) {
        Existing at = before;
        for (DatabaseEvent event : events) {
            if (DatabaseState.transition(at, event) instanceof Existing next) {
                if (next.scaleState() != at.scaleState()) {
                    String from = at.scaleState().name();
                    say(at, next, "scale_state", from, next.scaleState().name(), reason);
                }
                at = next;
            }
        }
    }

    /** To the log, and to those who follow the events: to these in order and best effort. */
    private void say(DatabaseState before, DatabaseState after, String kind, String from, String to, String reason) {
        log(() -> context.getLog().info("{} -> {}, {}", from, to, reason));
        Existing database =
                after instanceof Existing existing ? existing : before instanceof Existing existing ? existing : null;
        if (database == null) {
            return;
        }
        DatabaseSpec spec = database.spec();
        DatabaseChange change =
                new DatabaseChange(now(), kind, spec.databaseId(), spec.tenant(), spec.name(), from, to, reason);
        life.announced = life.announced
                .thenCompose(done -> attempt(() -> services.catalog().announce(change)))
                .exceptionally(failure -> {
                    LOG.warn("database={} an event was not announced: {}", id, failure.toString());
                    return Done.getInstance();
                });
    }

    private Effect<DatabaseEvent, DatabaseState> answer(ActorRef<DatabaseReply> replyTo, DatabaseReply reply) {
        return none(() -> replyTo.tell(reply));
    }

    private Effect<DatabaseEvent, DatabaseState> none(Runnable action) {
        action.run();
        return Effect().none();
    }

    /** A message that no longer matters. */
    private Effect<DatabaseEvent, DatabaseState> late(Object message) {
        log(() -> context.getLog()
                .debug("ignored, too late: {}", message.getClass().getSimpleName()));
        return Effect().none();
    }

    private void log(Runnable line) {
        MDC.put("database", id);
        try {
            line.run();
        } finally {
            MDC.remove("database");
        }
    }

    private Instant now() {
        return services.clock().instant();
    }
}
