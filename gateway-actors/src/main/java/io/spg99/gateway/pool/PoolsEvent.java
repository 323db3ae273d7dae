package io.spg99.gateway.pool;

import java.time.Instant;

/** What the pools report to their database. */
public sealed interface PoolsEvent {

    /** Somebody waits and there is no writer: wake up. Sent once per wait, not once per waiter. */
    enum Demand implements PoolsEvent {
        INSTANCE
    }

    /** A writer has been there for the idle timeout without a lease or a counted connection. */
    record Idle(int generation) implements PoolsEvent {}

    /** Clients of all Gateways that wait for a server connection, which are too few; sent when that changes. Zero at first. */
    record Queue(int clients) implements PoolsEvent {}

    /**
     * @param connections counted client connections over all Gateways
     * @param waiting     Gateways that wait for a writer
     * @param lastUsed    when a lease was last held or asked for
     */
    record Activity(int connections, int leases, int waiting, Instant lastUsed) implements PoolsEvent {}
}
