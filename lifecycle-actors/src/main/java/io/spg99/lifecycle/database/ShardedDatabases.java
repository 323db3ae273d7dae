package io.spg99.lifecycle.database;

import io.spg99.gateway.lease.DatabaseLeases;
import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.lifecycle.model.DatabaseSpec;
import io.spg99.lifecycle.model.Profile;
import io.spg99.lifecycle.model.Tunables;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.cluster.sharding.typed.javadsl.ClusterSharding;
import org.apache.pekko.cluster.sharding.typed.javadsl.Entity;
import org.apache.pekko.japi.function.Function;

/** Reaches Database actors through cluster sharding: for the API as {@link Databases}, for Gateways as leases. */
public final class ShardedDatabases implements Databases, DatabaseLeases {

    /** Role of the nodes on which Database actors run. */
    public static final String ROLE = "compute";

    private final ClusterSharding sharding;
    private final Duration createTimeout;
    private final Duration askTimeout;

    private ShardedDatabases(ActorSystem<?> system) {
        this.sharding = ClusterSharding.get(system);
        this.createTimeout = system.settings().config().getDuration("spg99.lifecycle.create-timeout");
        this.askTimeout = system.settings().config().getDuration("spg99.lifecycle.ask-timeout");
    }

    /** On a node with role {@link #ROLE}: Database actors run here. */
    public static ShardedDatabases host(ActorSystem<?> system, DatabaseServices services) {
        ShardedDatabases databases = new ShardedDatabases(system);
        databases.sharding.init(
                Entity.of(Database.KEY, entity -> Database.create(entity.getEntityId(), entity.getShard(), services))
                        .withRole(ROLE)
                        .withStopMessage(Database.Leave.INSTANCE));
        return databases;
    }

    /** On any other node: only the way to them. */
    public static ShardedDatabases proxy(ActorSystem<?> system) {
        ShardedDatabases databases = new ShardedDatabases(system);
        databases.sharding.init(Entity.of(Database.KEY, entity -> Behaviors.<Database.Command>stopped())
                .withRole(ROLE)
                .withStopMessage(Database.Leave.INSTANCE));
        return databases;
    }

    @Override
    public void tell(String databaseId, LeaseCommand command) {
        sharding.entityRefFor(Database.KEY, databaseId).tell(new Database.FromGateway(command));
    }

    @Override
    public CompletionStage<DatabaseReply> create(DatabaseSpec spec) {
        return ask(spec.databaseId(), replyTo -> new Database.Create(spec, replyTo), createTimeout);
    }

    @Override
    public CompletionStage<DatabaseReply> describe(String databaseId) {
        return ask(databaseId, Database.Describe::new, askTimeout);
    }

    @Override
    public CompletionStage<DatabaseReply> start(String databaseId) {
        return ask(databaseId, Database.Start::new, askTimeout);
    }

    @Override
    public CompletionStage<DatabaseReply> stop(String databaseId) {
        return ask(databaseId, Database.Stop::new, askTimeout);
    }

    @Override
    public CompletionStage<DatabaseReply> change(String databaseId, Tunables tunables, Optional<Profile> size) {
        return ask(databaseId, replyTo -> new Database.Change(tunables, size, replyTo), askTimeout);
    }

    @Override
    public CompletionStage<DatabaseReply> scale(String databaseId, Profile profile) {
        return ask(databaseId, replyTo -> new Database.Scale(profile, replyTo), askTimeout);
    }

    @Override
    public CompletionStage<DatabaseReply> delete(String databaseId, boolean force) {
        return ask(databaseId, replyTo -> new Database.Delete(force, replyTo), askTimeout);
    }

    private CompletionStage<DatabaseReply> ask(
            String databaseId, Function<ActorRef<DatabaseReply>, Database.Command> command, Duration timeout) {
        return sharding.entityRefFor(Database.KEY, databaseId).ask(command, timeout);
    }
}
