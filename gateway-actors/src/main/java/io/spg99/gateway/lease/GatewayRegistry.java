package io.spg99.gateway.lease;

import java.util.HashMap;
import java.util.Map;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.ChildFailed;
import org.apache.pekko.actor.typed.Terminated;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The databases that have sessions on this Gateway: one {@link GatewayDatabase} child each, made with its first session
 * and stopped after its last. A child that fails is not restarted (its sessions are closed); the next session makes a new
 * one. Owned by the Gateway's server.
 */
public final class GatewayRegistry {

    /** What pools ask. */
    public sealed interface Command {}

    /**
     * Asks for a lease; the holder is granted, or refused, whenever there is an answer.
     *
     * @param connections client connections that count as activity of the database
     */
    public record Checkout(String databaseId, LeaseHolder holder, int connections) implements Command {}

    /**
     * The holder has so many of them now.
     *
     * @param waiting clients that have waited for a server connection for longer than it takes to open one
     */
    public record Count(String databaseId, LeaseHolder holder, int connections, int waiting) implements Command {}

    /** What still uses the writer, in answer to {@link LeaseHolder#frozen}. */
    public record Draining(String databaseId, LeaseHolder holder, int freeze, int running, int pinned)
            implements Command {}

    /** The holder is done, or does not want to wait any longer. */
    public record Return(String databaseId, LeaseHolder holder) implements Command {}

    /** The writer of this generation could not be connected to: asks for a new grant. */
    public record ConnectFailed(String databaseId, LeaseHolder holder, int generation) implements Command {}

    /** @param stopped run when this actor and its children have stopped: no holder is called any more */
    public record Stop(Runnable stopped) implements Command {}

    private record Emptied(String databaseId, long checkouts) implements Command {}

    /** A child, and how many checkouts it was sent. */
    private static final class Entry {
        final ActorRef<GatewayDatabase.Command> actor;
        long checkouts;

        Entry(ActorRef<GatewayDatabase.Command> actor) {
            this.actor = actor;
        }
    }

    private static final Logger LOG = LoggerFactory.getLogger(GatewayRegistry.class);

    private final ActorContext<Command> context;
    private final LeaseSettings settings;
    private final DatabaseLeases leases;
    private final LeaseMetrics metrics;
    private final Map<String, Entry> databases = new HashMap<>();

    private GatewayRegistry(
            ActorContext<Command> context, LeaseSettings settings, DatabaseLeases leases, LeaseMetrics metrics) {
        this.context = context;
        this.settings = settings;
        this.leases = leases;
        this.metrics = metrics;
    }

    public static Behavior<Command> create(LeaseSettings settings, DatabaseLeases leases, LeaseMetrics metrics) {
        return Behaviors.setup(context -> new GatewayRegistry(context, settings, leases, metrics).behavior());
    }

    private Behavior<Command> behavior() {
        return Behaviors.receive(Command.class)
                .onMessage(Command.class, this::onCommand)
                .onSignal(Terminated.class, this::onTerminated)
                .build();
    }

    private Behavior<Command> onCommand(Command command) {
        switch (command) {
            case Checkout checkout -> onCheckout(checkout);
            case Count count ->
                route(
                        count.databaseId(),
                        new GatewayDatabase.Count(count.holder(), count.connections(), count.waiting()));
            case Draining draining ->
                route(
                        draining.databaseId(),
                        new GatewayDatabase.Draining(
                                draining.holder(), draining.freeze(), draining.running(), draining.pinned()));
            case Return returned -> route(returned.databaseId(), new GatewayDatabase.Return(returned.holder()));
            case ConnectFailed failed -> onConnectFailed(failed);
            case Emptied emptied -> onEmptied(emptied);
            case Stop stop -> {
                return Behaviors.stopped(stop.stopped()::run);
            }
        }
        return Behaviors.same();
    }

    private void onCheckout(Checkout checkout) {
        Entry entry = databases.computeIfAbsent(checkout.databaseId(), this::spawn);
        entry.checkouts++;
        entry.actor.tell(new GatewayDatabase.Checkout(checkout.holder(), checkout.connections()));
    }

    private void onConnectFailed(ConnectFailed failed) {
        route(failed.databaseId(), new GatewayDatabase.ConnectFailed(failed.holder(), failed.generation()));
    }

    private void route(String databaseId, GatewayDatabase.Command command) {
        Entry entry = databases.get(databaseId);
        if (entry != null) {
            entry.actor.tell(command);
        }
    }

    /** A child that has seen every checkout sent to it and holds none is not needed. */
    private void onEmptied(Emptied emptied) {
        Entry entry = databases.get(emptied.databaseId());
        if (entry != null && entry.checkouts == emptied.checkouts()) {
            databases.remove(emptied.databaseId());
            entry.actor.tell(GatewayDatabase.Stop.INSTANCE);
        }
    }

    private Entry spawn(String databaseId) {
        ActorRef<GatewayDatabase.Command> actor = context.spawnAnonymous(GatewayDatabase.create(
                databaseId,
                settings,
                leases,
                metrics,
                checkouts -> context.getSelf().tell(new Emptied(databaseId, checkouts))));
        context.watch(actor);
        return new Entry(actor);
    }

    private Behavior<Command> onTerminated(Terminated terminated) {
        if (terminated instanceof ChildFailed failed) {
            LOG.error("the actor of a database failed; its sessions are closed", failed.getCause());
        }
        databases
                .values()
                .removeIf(entry -> entry.actor.path().equals(terminated.getRef().path()));
        return Behaviors.same();
    }
}
