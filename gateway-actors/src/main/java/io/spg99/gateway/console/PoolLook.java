package io.spg99.gateway.console;

import io.spg99.gateway.lease.Lease;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * A pool, as it is at one moment.
 *
 * @param lease      empty if it has none: the database sleeps, or wakes
 * @param paused     by {@code PAUSE}
 * @param frozen     for a writer that moves
 * @param waitMicros total of all waits for a server connection
 */
public record PoolLook(
        String databaseId,
        String database,
        String user,
        Optional<Lease> lease,
        boolean paused,
        boolean frozen,
        List<Client> clients,
        List<Server> servers,
        long transactions,
        long received,
        long sent,
        long waitMicros) {

    /** State of a client, and of a server connection; as they are shown. */
    public enum State {
        ACTIVE,
        WAITING,
        IDLE,
        LOGIN
    }

    /**
     * @param id         as in the log
     * @param waitMicros of the wait that it is in; else zero
     * @param backend    process id of its server connection; zero if it has none
     * @param pinned     why it keeps its server connection beyond transactions
     */
    public record Client(
            String id,
            State state,
            String host,
            int port,
            Instant since,
            long waitMicros,
            int backend,
            String tls,
            String application,
            boolean dedicated,
            List<String> pinned) {}

    /** @param client id of the one that uses it; empty if none does */
    public record Server(State state, String address, Instant since, int backend, String client, int generation) {}

    int clients(State state) {
        return (int) clients.stream().filter(client -> client.state() == state).count();
    }

    int servers(State state) {
        return (int) servers.stream().filter(server -> server.state() == state).count();
    }

    /** Whether {@code target} of a command means it. */
    public boolean is(String target) {
        return target.equals(database) || target.equals(user + "." + database) || target.equals(databaseId);
    }
}
