package io.spg99.lifecycle.database;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import com.typesafe.config.ConfigFactory;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.pool.PoolsCommand;
import io.spg99.lifecycle.autoscale.AutoscalerSettings;
import io.spg99.lifecycle.model.DatabaseView;
import io.spg99.lifecycle.model.Profile;
import io.spg99.storage.quorum.QuorumCommand;
import io.spg99.storage.quorum.QuorumReply;
import java.lang.reflect.Constructor;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
import java.util.stream.Stream;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.SerializationTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.Join;
import org.apache.pekko.persistence.testkit.PersistenceTestKitPlugin;
import org.apache.pekko.persistence.testkit.PersistenceTestKitSnapshotPlugin;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** A cluster of one node with real sharding: messages find their way, and all of them survive serialization. */
class ShardedDatabasesTest {

    private static final ActorTestKit KIT = ActorTestKit.create(
            "sharded",
            ConfigFactory.parseString("""
                    pekko.actor.provider = cluster
                    pekko.remote.artery.canonical.hostname = 127.0.0.1
                    pekko.remote.artery.canonical.port = 0
                    pekko.cluster.roles = [compute]
                    pekko.cluster.jmx.multi-mbeans-in-same-jvm = on
                    pekko.coordinated-shutdown.exit-jvm = off
                    """)
                    .withFallback(PersistenceTestKitPlugin.getInstance().config())
                    .withFallback(PersistenceTestKitSnapshotPlugin.config())
                    .withFallback(ConfigFactory.load()));

    @BeforeAll
    static void join() {
        Cluster cluster = Cluster.get(KIT.system());
        cluster.manager().tell(Join.create(cluster.selfMember().address()));
    }

    @AfterAll
    static void stop() {
        KIT.shutdownTestKit();
    }

    private static Behavior<QuorumCommand> quorum() {
        return Behaviors.receiveMessage(message -> {
            if (message instanceof QuorumCommand.Create create) {
                create.replyTo().tell(new QuorumReply.Created());
            }
            return Behaviors.same();
        });
    }

    private static <T> T get(CompletionStage<T> stage) {
        return stage.toCompletableFuture().join();
    }

    @Test
    void givenAClusterOfOne_whenADatabaseIsCreatedAndAsked_thenItsActorAnswers() {
        TestProbe<PoolsCommand> pools = KIT.createTestProbe();
        TestProbe<LeaseEvent> gateway = KIT.createTestProbe();
        ShardedDatabases databases = ShardedDatabases.host(
                KIT.system(),
                new DatabaseServices(
                        base -> quorum(),
                        (spec, owner) -> Behaviors.empty(),
                        owner -> Behaviors.receiveMessage(message -> {
                            pools.getRef().tell(message);
                            return Behaviors.same();
                        }),
                        new World.Store(),
                        timeline -> Optional.empty(),
                        new World.Catalog(),
                        new ColdStarts(new SimpleMeterRegistry()),
                        new HandoffMetrics(new SimpleMeterRegistry()),
                        profile -> io.spg99.compute.generation.Profile.L1,
                        false,
                        "node-1",
                        DatabaseTimings.from(KIT.system().settings().config()),
                        HandoffTimings.from(KIT.system().settings().config()),
                        AutoscalerSettings.from(KIT.system().settings().config()),
                        new MutableClock()));
        DatabaseReply created = get(databases.create(Samples.spec("sharded1")));
        assertEquals(
                "stopped",
                assertInstanceOf(DatabaseReply.Accepted.class, created).view().state());
        assertInstanceOf(DatabaseReply.Described.class, get(databases.describe("sharded1")));
        assertInstanceOf(DatabaseReply.NotFound.class, get(databases.describe("nobody")));
        databases.tell("sharded1", new LeaseCommand.Acquire("gw1", gateway.getRef()));
        pools.expectMessageClass(PoolsCommand.SetIdleTimeout.class);
        pools.expectMessageClass(PoolsCommand.FromGateway.class);
    }

    @Test
    void givenAnyRemoteMessage_whenSerialized_thenItIsTheSame() {
        SerializationTestKit serialization = KIT.serializationTestKit();
        TestProbe<DatabaseReply> replies = KIT.createTestProbe();
        TestProbe<LeaseEvent> gateway = KIT.createTestProbe();
        DatabaseView view = DatabaseView.of(Samples.spec("db1"), "stopped", Instant.EPOCH);
        Stream<Object> leases = Stream.of(LeaseCommand.class.getPermittedSubclasses())
                .map(kind -> new Database.FromGateway(sample(kind, gateway.getRef())));
        Stream<Object> others = Stream.of(
                new Database.Create(Samples.spec("db1"), replies.getRef()),
                new Database.Describe(replies.getRef()),
                new Database.Start(replies.getRef()),
                new Database.Stop(replies.getRef()),
                new Database.Change(Samples.TUNABLES, Optional.of(Profile.L2), replies.getRef()),
                new Database.Scale(Profile.L3, replies.getRef()),
                new Database.Delete(true, replies.getRef()),
                new DatabaseReply.Accepted(view, 7),
                new DatabaseReply.Described(view),
                new DatabaseReply.Conflict("no"),
                new DatabaseReply.NotFound(),
                new DatabaseReply.Unavailable("later"));
        Stream.concat(leases, others).forEach(message -> serialization.verifySerialization(message, true));
    }

    /** Whatever kinds of lease command the Gateway has, now or later. */
    private static LeaseCommand sample(Class<?> kind, ActorRef<LeaseEvent> replyTo) {
        Constructor<?> constructor = kind.getDeclaredConstructors()[0];
        Object[] values = Stream.of(constructor.getParameterTypes())
                .map(type -> type == String.class ? "gw1" : type == int.class ? 2 : replyTo)
                .toArray();
        try {
            return (LeaseCommand) constructor.newInstance(values);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }
}
