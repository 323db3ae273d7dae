package io.spg99.verify;

import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.replication.ReplicationTarget;
import io.spg99.storage.wal.Lsn;
import io.spg99.verify.Coverage.Visited;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Machines and what is between them. Messages of actors are lost, delayed, doubled and overtaken; streams keep their order,
 * stall while the way is blocked, and break.
 */
final class Network {

    private record Way(String from, String to) {}

    /** Sees every status that a client sends. */
    interface StatusListener {
        void leaves(SimConnection connection, Lsn flushed);
    }

    /** What listens on a port. */
    record Endpoint(Instance instance, SimConnection.Server server) {}

    private final Scheduler scheduler;
    private final Coverage coverage;
    private final Set<Way> blocked = new HashSet<>();
    private final Map<Way, Long> lastArrival = new HashMap<>();
    private final Set<String> down = new HashSet<>();
    private final Map<String, Endpoint> endpoints = new HashMap<>();
    private final List<SimConnection> connections = new ArrayList<>();
    private StatusListener statuses = (connection, flushed) -> {};
    private double loss;
    private double doubling;
    private double lateness;

    Network(Scheduler scheduler, Coverage coverage) {
        this.scheduler = scheduler;
        this.coverage = coverage;
    }

    /** Shares of messages that are lost, doubled, late. */
    void trouble(double lost, double doubled, double late) {
        loss = lost;
        doubling = doubled;
        lateness = late;
    }

    void block(String from, String to) {
        blocked.add(new Way(from, to));
    }

    void unblock(String from, String to) {
        blocked.remove(new Way(from, to));
    }

    void unblockAll() {
        blocked.clear();
    }

    boolean isBlocked(String from, String to) {
        return blocked.contains(new Way(from, to));
    }

    void machineDown(String machine, boolean isDown) {
        if (isDown) {
            down.add(machine);
        } else {
            down.remove(machine);
        }
    }

    boolean isDown(String machine) {
        return down.contains(machine);
    }

    long latency() {
        long usual = scheduler.between(50, 400);
        return scheduler.chance(lateness) ? usual + scheduler.between(1000, 800 * Scheduler.MILLI) : usual;
    }

    /** Sends an actor's message from whoever runs now. */
    void send(Instance to, Runnable delivery) {
        Instance from = scheduler.current();
        if (from == null || !from.isAlive()) {
            return;
        }
        if (from.machine().equals(to.machine())) {
            scheduler.at(to, scheduler.jitter(), delivery);
            return;
        }
        if (isBlocked(from.machine(), to.machine()) || scheduler.chance(loss)) {
            coverage.count(Visited.MESSAGES_LOST);
            return;
        }
        long delay = latency();
        long arrival = scheduler.now() + delay;
        Way way = new Way(from.machine(), to.machine());
        if (arrival < lastArrival.getOrDefault(way, 0L)) {
            coverage.count(Visited.MESSAGES_OVERTAKEN);
        } else {
            lastArrival.put(way, arrival);
        }
        scheduler.at(to, delay, delivery);
        if (scheduler.chance(doubling)) {
            coverage.count(Visited.MESSAGES_DUPLICATED);
            scheduler.at(to, latency() + scheduler.between(0, 3 * Scheduler.SECOND), delivery);
        }
    }

    // Streams

    void onStatus(StatusListener listener) {
        statuses = listener;
    }

    void statusLeaves(SimConnection connection, Lsn flushed) {
        scheduler.say(() -> "status " + flushed + " to " + connection.server());
        statuses.leaves(connection, flushed);
    }

    void listen(String host, int port, Endpoint endpoint) {
        endpoints.put(host + ":" + port, endpoint);
    }

    @Nullable
    Endpoint at(String host, int port) {
        return endpoints.get(host + ":" + port);
    }

    /** How an instance opens connections. */
    ReplicationConnection.Connector connector(Instance client) {
        return target -> open(client, target);
    }

    private SimConnection open(Instance client, ReplicationTarget target) throws ReplicationException {
        Fiber fiber = scheduler.ownFiber();
        fiber.pause(latency());
        Endpoint endpoint = at(target.host(), target.port());
        boolean reached = endpoint != null
                && !isDown(endpoint.instance().machine())
                && !isBlocked(client.machine(), endpoint.instance().machine())
                && !isBlocked(endpoint.instance().machine(), client.machine());
        if (endpoint == null || !endpoint.instance().isAlive() || !reached) {
            if (!reached) {
                fiber.pause(target.connectTimeout().toNanos() / 1000);
            }
            throw new ReplicationException("cannot connect: host=" + target.host());
        }
        SimConnection connection = new SimConnection(scheduler, this, client, endpoint, target);
        connections.add(connection);
        fiber.pause(latency());
        connection.opened();
        return connection;
    }

    /** Connections of which at least one end is open. */
    List<SimConnection> connections() {
        connections.removeIf(SimConnection::isOver);
        return List.copyOf(connections);
    }

    /** The kernel of a killed process says so to the other ends; a machine without power says nothing. */
    void instanceDied(Instance instance, boolean powerCut) {
        for (SimConnection connection : connections()) {
            if (connection.client().equals(instance)) {
                connection.clientDied(powerCut);
            } else if (connection.server().equals(instance)) {
                connection.serverDied(powerCut);
            }
        }
    }
}
