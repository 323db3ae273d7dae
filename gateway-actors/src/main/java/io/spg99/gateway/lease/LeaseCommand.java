package io.spg99.gateway.lease;

import io.spg99.gateway.GatewayMessage;
import org.apache.pekko.actor.typed.ActorRef;

/**
 * What a Gateway asks of a database.
 *
 * <pre>
 * Acquire (wakes the database)  -> Coming, when one starts (perhaps) ; Granted, when there is a writer | Refused
 * Renew, every third of the ttl -> nothing | Revoked
 * Release                       -> nothing
 *                                  Revoked, at any time: the writer is gone, close its sessions
 *                                  Frozen, at any time     -> Draining, at once and at every change, until Resumed,
 *                                                             the limit, or another generation
 * </pre>
 *
 * A lease belongs to one Gateway and one generation. A Gateway that wants the next generation acquires again.
 */
public sealed interface LeaseCommand extends GatewayMessage {

    /** Name of the asking Gateway, unique in the cluster and per start. */
    String gateway();

    record Acquire(String gateway, ActorRef<LeaseEvent> replyTo) implements LeaseCommand {}

    /**
     * Keeps the lease; makes it again if the database has forgotten it and the generation is still its writer.
     *
     * @param connections client connections that count as activity (not those of metrics exporters and health checks)
     * @param waiting     clients that have waited for a server connection for longer than it takes to open one
     * @param replyTo     told {@link LeaseEvent.Revoked} if the generation is not the writer any longer
     */
    record Renew(String gateway, int generation, int connections, int waiting, ActorRef<LeaseEvent> replyTo)
            implements LeaseCommand {}

    /**
     * While frozen: what still uses the writer.
     *
     * @param freeze  number of the freeze
     * @param running transactions
     * @param pinned  sessions that hold something that only their server connection has
     */
    record Draining(String gateway, int generation, int freeze, int running, int pinned) implements LeaseCommand {}

    /** Gives a lease back. With {@link #ANY_GENERATION}: whatever there is, an Acquire not yet answered included. */
    record Release(String gateway, int generation) implements LeaseCommand {
        public static final int ANY_GENERATION = 0;
    }
}
