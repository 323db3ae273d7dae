package io.spg99.lifecycle.database;

import static java.util.Objects.requireNonNull;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.spg99.compute.generation.GenerationCommand;
import io.spg99.compute.generation.GenerationEvent;
import io.spg99.compute.generation.GenerationSpec;
import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.pool.PoolsCommand;
import io.spg99.gateway.pool.PoolsEvent;
import io.spg99.lifecycle.autoscale.AutoscalerSettings;
import io.spg99.lifecycle.database.event.DatabaseEvent;
import io.spg99.lifecycle.model.Base;
import io.spg99.lifecycle.model.DatabaseChange;
import io.spg99.lifecycle.model.DatabaseView;
import io.spg99.storage.pageserver.PageserverCommand;
import io.spg99.storage.quorum.QuorumCommand;
import io.spg99.storage.quorum.QuorumEvent;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.pekko.Done;
import org.apache.pekko.actor.PoisonPill;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.ManualTime;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.Adapter;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.cluster.sharding.typed.javadsl.ClusterSharding;
import org.apache.pekko.persistence.testkit.PersistenceTestKitPlugin;
import org.apache.pekko.persistence.testkit.PersistenceTestKitSnapshotPlugin;
import org.apache.pekko.persistence.testkit.javadsl.PersistenceTestKit;
import org.awaitility.Awaitility;
import org.awaitility.core.ConditionTimeoutException;

/**
 * A Database actor and the fakes around it: children that pass on what they are told, ports that do as the test says, time
 * that moves when it is told to. One actor system serves all tests of a class; each World has a database of its own.
 */
final class World {

    static final Config CONFIG = ManualTime.config()
            .withFallback(PersistenceTestKitPlugin.getInstance().config())
            .withFallback(PersistenceTestKitSnapshotPlugin.config())
            .withFallback(ConfigFactory.load());

    private static final AtomicInteger NUMBER = new AtomicInteger();

    static {
        Awaitility.setDefaultPollInterval(Duration.ofMillis(5));
    }

    final String id = "db" + NUMBER.incrementAndGet();
    final MutableClock clock = new MutableClock();
    final SimpleMeterRegistry meters = new SimpleMeterRegistry();
    final PersistenceTestKit journal;
    final TestProbe<QuorumCommand> quorum;
    final TestProbe<PageserverCommand> pageserver;
    final TestProbe<GenerationCommand> generation;
    final TestProbe<PoolsCommand> pools;
    final TestProbe<ClusterSharding.ShardCommand> shard;
    final TestProbe<DatabaseReply> replies;
    final TestProbe<LeaseEvent> gateway;
    final Store store = new Store();
    final Catalog catalog = new Catalog();
    final List<GenerationSpec> started = new CopyOnWriteArrayList<>();
    /** Generations that were told to. */
    final List<Integer> recovering = new CopyOnWriteArrayList<>();

    final AtomicReference<DatabaseTimings> timings;

    private final AtomicInteger heard = new AtomicInteger();
    private final ActorTestKit kit;
    private final ManualTime time;
    private final Map<Integer, ActorRef<GenerationEvent>> events = new ConcurrentHashMap<>();
    private final Map<Integer, ActorRef<GenerationCommand>> generations = new ConcurrentHashMap<>();
    private final AtomicReference<ActorRef<PoolsEvent>> poolsEvents = new AtomicReference<>();
    private final AtomicReference<ActorRef<PoolsCommand>> poolsChild = new AtomicReference<>();
    private final AtomicReference<ActorRef<QuorumCommand>> quorumChild = new AtomicReference<>();
    private final AtomicReference<ActorRef<QuorumEvent>> quorumEvents = new AtomicReference<>();
    private final DatabaseServices services;
    ActorRef<Database.Command> database;

    World(ActorTestKit kit) {
        this.kit = kit;
        this.time = ManualTime.get(kit.system());
        this.journal = PersistenceTestKit.create(kit.system());
        this.quorum = kit.createTestProbe();
        this.pageserver = kit.createTestProbe();
        this.generation = kit.createTestProbe();
        this.pools = kit.createTestProbe();
        this.shard = kit.createTestProbe();
        this.replies = kit.createTestProbe();
        this.gateway = kit.createTestProbe();
        this.timings = new AtomicReference<>(
                DatabaseTimings.from(kit.system().settings().config()));
        this.services = new DatabaseServices(
                base -> passOn(quorum, quorumChild),
                this::generation,
                this::pools,
                store,
                timeline -> Optional.of(pageserver.getRef()),
                catalog,
                new ColdStarts(meters),
                new HandoffMetrics(meters),
                profile -> io.spg99.compute.generation.Profile.named(profile.name(), CONFIG),
                false,
                "node-1",
                timings.get(),
                HandoffTimings.from(CONFIG),
                AutoscalerSettings.from(CONFIG),
                clock);
        this.database = kit.spawn(Database.create(id, shard.getRef(), services));
    }

    /** Begins with a journal that an earlier life has written. */
    static World after(ActorTestKit kit, DatabaseEvent... written) {
        String id = "db" + (NUMBER.get() + 1);
        PersistenceTestKit.create(kit.system()).persistForRecovery("Database|" + id, Arrays.asList((Object[]) written));
        return new World(kit);
    }

    private <T> Behavior<T> passOn(TestProbe<T> probe, AtomicReference<ActorRef<T>> child) {
        return Behaviors.setup(context -> {
            child.set(context.getSelf());
            return Behaviors.receiveMessage(message -> {
                probe.getRef().tell(message);
                heard.incrementAndGet();
                return Behaviors.same();
            });
        });
    }

    private Behavior<GenerationCommand> generation(GenerationSpec spec, ActorRef<GenerationEvent> owner) {
        return Behaviors.setup(context -> {
            events.put(spec.generation(), owner);
            generations.put(spec.generation(), context.getSelf());
            started.add(spec);
            return Behaviors.receiveMessage(message -> {
                if (message instanceof GenerationCommand.Recover) {
                    recovering.add(spec.generation());
                } else {
                    generation.getRef().tell(message);
                    heard.incrementAndGet();
                }
                return Behaviors.same();
            });
        });
    }

    private Behavior<PoolsCommand> pools(ActorRef<PoolsEvent> owner) {
        poolsEvents.set(owner);
        return passOn(pools, poolsChild);
    }

    // ---- what the test does -------------------------------------------------------------------------------------

    void timePasses(Duration step) {
        clock.advance(step);
        time.timePasses(step);
    }

    /** Time passes, step by step, until a timer of the actor makes it say something to one of its children. */
    void timePassesUntilItActs(Duration step) {
        int before = heard.get();
        for (int steps = 0; steps < 30 && heard.get() == before; steps++) {
            timePasses(step);
            try {
                await().pollInterval(Duration.ofMillis(5))
                        .atMost(Duration.ofMillis(500))
                        .until(() -> heard.get() != before);
            } catch (ConditionTimeoutException e) {
                // the timer was not set yet: another step
            }
        }
    }

    void close() {
        kit.stop(database);
    }

    /** As a crash does: nothing is said to anybody. */
    void restart() {
        kit.stop(database);
        database = kit.spawn(Database.create(id, shard.getRef(), services));
    }

    void create() {
        database.tell(new Database.Create(Samples.spec(id), replies.getRef()));
        quorum.expectMessageClass(QuorumCommand.Create.class).replyTo().tell(new QuorumReply.Created());
        assertEquals("stopped", accepted().state());
    }

    void acquire() {
        database.tell(new Database.FromGateway(new LeaseCommand.Acquire("gw1", gateway.getRef())));
        expectPools(PoolsCommand.FromGateway.class);
    }

    void demand() {
        acquire();
        say(PoolsEvent.Demand.INSTANCE);
    }

    void say(PoolsEvent event) {
        poolsEvents.get().tell(event);
    }

    void say(GenerationEvent event) {
        requireNonNull(events.get(event.generation())).tell(event);
    }

    void say(QuorumEvent event) {
        quorumEvents.get().tell(event);
    }

    QuorumCommand.Prepare expectPrepare(int generation) {
        QuorumCommand.Prepare prepare = quorum.expectMessageClass(QuorumCommand.Prepare.class);
        assertEquals(generation, prepare.generation());
        return prepare;
    }

    /** The next question for a promise; releases of what is gone do not count. */
    QuorumCommand.Prepare expectPrepareOf(int generation) {
        QuorumCommand next = quorum.receiveMessage();
        while (next instanceof QuorumCommand.Release) {
            next = quorum.receiveMessage();
        }
        QuorumCommand.Prepare prepare = (QuorumCommand.Prepare) next;
        assertEquals(generation, prepare.generation());
        return prepare;
    }

    /** The connections that the next writer takes. */
    int expectServerConnections() {
        PoolsCommand next = pools.receiveMessage();
        while (!(next instanceof PoolsCommand.SetServerConnections)) {
            next = pools.receiveMessage();
        }
        return ((PoolsCommand.SetServerConnections) next).serverConnections();
    }

    void prepared(QuorumCommand.Prepare prepare) {
        prepare.replyTo()
                .tell(new QuorumReply.Prepared(
                        prepare.generation(), WalHistory.of(1, Samples.BASE.start()), Samples.BASE.end(), List.of()));
        await("generation " + prepare.generation() + " recovers")
                .until(() -> recovering.contains(prepare.generation()));
    }

    /** Where it begins is known, but not yet written down by two Safekeepers. */
    void chosen(QuorumCommand.Prepare prepare) {
        prepare.owner()
                .tell(new QuorumEvent.Chosen(
                        prepare.generation(), WalHistory.of(1, Samples.BASE.start()), Samples.BASE.end(), List.of()));
        await("generation " + prepare.generation() + " recovers")
                .until(() -> recovering.contains(prepare.generation()));
    }

    QuorumCommand.Follow accepting(int generation) {
        say(new GenerationEvent.Accepting(generation, Samples.WRITER));
        QuorumCommand.Follow follow = quorum.expectMessageClass(QuorumCommand.Follow.class);
        assertEquals(generation, follow.generation());
        quorumEvents.set(follow.owner());
        return follow;
    }

    void configured(int generation) {
        say(new GenerationEvent.Configured(
                generation, 1, Map.of("image", Duration.ofMillis(5), "postgres", Duration.ofMillis(40))));
    }

    void following(QuorumCommand.Follow follow) {
        follow.replyTo().tell(new QuorumReply.Following(follow.generation()));
    }

    /** From stopped, over a client's demand. */
    void wake(int generation) {
        demand();
        boot(generation);
    }

    /** From the question for the promise to ready. */
    void boot(int generation) {
        prepared(expectPrepare(generation));
        following(accepting(generation));
        configured(generation);
        assertEquals(generation, expectPools(PoolsCommand.WriterReady.class).generation());
        expectReady(generation);
    }

    void ended(int generation, String reason) {
        say(new GenerationEvent.Ended(generation, reason.equals("stopped"), reason));
    }

    void killPools() {
        Adapter.toClassic(poolsChild.get())
                .tell(PoisonPill.getInstance(), Adapter.toClassic(kit.system()).deadLetters());
    }

    void killQuorum() {
        Adapter.toClassic(quorumChild.get())
                .tell(PoisonPill.getInstance(), Adapter.toClassic(kit.system()).deadLetters());
    }

    void killGeneration(int generation) {
        Adapter.toClassic(requireNonNull(generations.get(generation)))
                .tell(PoisonPill.getInstance(), Adapter.toClassic(kit.system()).deadLetters());
    }

    // ---- what the test expects ----------------------------------------------------------------------------------

    DatabaseView accepted() {
        return replies.expectMessageClass(DatabaseReply.Accepted.class).view();
    }

    /** Describes the database; pools and quorum, where there are any, answer with this. */
    DatabaseView describe(int connections, Lsn end) {
        TestProbe<DatabaseReply> probe = kit.createTestProbe();
        database.tell(new Database.Describe(probe.getRef()));
        expectActivityQuestion().tell(activity(connections, connections, 0));
        quorum.expectMessageClass(QuorumCommand.GetPositions.class)
                .replyTo()
                .tell(new QuorumReply.Positions(1, end, Map.of()));
        return probe.expectMessageClass(DatabaseReply.Described.class).view();
    }

    PoolsEvent.Activity activity(int connections, int leases, int waiting) {
        return new PoolsEvent.Activity(connections, leases, waiting, clock.instant());
    }

    ActorRef<PoolsEvent.Activity> expectActivityQuestion() {
        return expectPools(PoolsCommand.GetActivity.class).replyTo();
    }

    /**
     * The next word to the pools but SetIdleTimeout, with which each of their lives begins, and WriterComing, which every
     * start says if there are pools.
     */
    <T extends PoolsCommand> T expectPools(Class<T> type) {
        PoolsCommand next = pools.receiveMessage();
        while (!type.isInstance(next)
                && (next instanceof PoolsCommand.SetIdleTimeout
                        || next instanceof PoolsCommand.SetServerConnections
                        || next instanceof PoolsCommand.WriterComing)) {
            next = pools.receiveMessage();
        }
        return type.cast(next);
    }

    void expectRelease(int generation) {
        assertEquals(
                generation,
                quorum.expectMessageClass(QuorumCommand.Release.class).generation());
    }

    /** Waits until the newest event written is of this kind. */
    <T extends DatabaseEvent> T expectWritten(Class<T> type) {
        await(type.getSimpleName() + " written")
                .until(() -> !written().isEmpty() && type.isInstance(written().getLast()));
        return type.cast(written().getLast());
    }

    List<DatabaseEvent> written() {
        List<DatabaseEvent> events = new ArrayList<>();
        journal.persistedInStorage("Database|" + id).forEach(event -> events.add((DatabaseEvent) event));
        return events;
    }

    /** The clients hear of it before it is written. */
    void expectReady(int generation) {
        await("generation " + generation + " ready")
                .until(() -> written().stream()
                                .anyMatch(event -> event instanceof DatabaseEvent.GenerationReady ready
                                        && ready.generation() == generation)
                        && catalog.last().equals("ready"));
    }

    void expectState(String state) {
        await("catalog shows " + state).until(() -> catalog.last().equals(state));
    }

    void expectPassivation() {
        assertTrue(shard.receiveMessage() instanceof ClusterSharding.Passivate<?>);
    }

    void expectStopped() {
        shard.expectTerminated(database);
    }

    /** Object storage that succeeds unless told otherwise. */
    static final class Store implements TimelineStore {
        final AtomicInteger made = new AtomicInteger();
        final AtomicInteger deleted = new AtomicInteger();
        final AtomicInteger failures = new AtomicInteger();

        @Override
        public CompletionStage<Base> make(TimelineId timeline) {
            if (failures.getAndUpdate(n -> Math.max(0, n - 1)) > 0) {
                return CompletableFuture.failedStage(new IllegalStateException("no storage"));
            }
            TimelineBase base = Samples.BASE;
            return CompletableFuture.completedStage(new Base("image-" + made.incrementAndGet(), base));
        }

        @Override
        public CompletionStage<Done> delete(TimelineId timeline) {
            if (failures.getAndUpdate(n -> Math.max(0, n - 1)) > 0) {
                return CompletableFuture.failedStage(new IllegalStateException("no storage"));
            }
            deleted.incrementAndGet();
            return CompletableFuture.completedStage(Done.getInstance());
        }
    }

    /** Remembers what was projected. */
    static final class Catalog implements DatabaseCatalog {
        final List<DatabaseView> views = new CopyOnWriteArrayList<>();
        final List<Long> sequences = new CopyOnWriteArrayList<>();
        final List<DatabaseChange> changes = new CopyOnWriteArrayList<>();
        final AtomicInteger removed = new AtomicInteger();
        final AtomicInteger failures = new AtomicInteger();

        String last() {
            return views.isEmpty() ? "nothing" : views.getLast().state();
        }

        @Override
        public CompletionStage<Done> project(DatabaseView view, long sequence) {
            if (failures.getAndUpdate(n -> Math.max(0, n - 1)) > 0) {
                return CompletableFuture.failedStage(new IllegalStateException("no catalog"));
            }
            sequences.add(sequence);
            views.add(view);
            return CompletableFuture.completedStage(Done.getInstance());
        }

        @Override
        public CompletionStage<Done> announce(DatabaseChange change) {
            changes.add(change);
            return CompletableFuture.completedStage(Done.getInstance());
        }

        @Override
        public CompletionStage<Done> remove(String databaseId) {
            if (failures.getAndUpdate(n -> Math.max(0, n - 1)) > 0) {
                return CompletableFuture.failedStage(new IllegalStateException("no catalog"));
            }
            removed.incrementAndGet();
            return CompletableFuture.completedStage(Done.getInstance());
        }
    }
}
