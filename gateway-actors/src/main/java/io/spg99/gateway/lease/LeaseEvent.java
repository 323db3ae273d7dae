package io.spg99.gateway.lease;

import io.spg99.gateway.GatewayMessage;
import java.time.Duration;

/** What a database tells a Gateway; see {@link LeaseCommand}. */
public sealed interface LeaseEvent extends GatewayMessage {

    /**
     * A writer is coming up there. Gives no right to use it: a Gateway may connect and log in, but nothing of what the server
     * answers may reach a client, and nothing of a client the server, before {@link Granted} for the same generation. Not
     * said reliably, and not taken back: a generation that fails is followed by another one, or by {@link Refused}.
     */
    record Coming(int generation, WriterLocation writer) implements LeaseEvent {}

    /**
     * Said again when the share changes.
     *
     * @param ttl               the Gateway renews within this time, or the lease is taken to be given back
     * @param serverConnections connections that this Gateway may have open to the writer
     */
    record Granted(int generation, WriterLocation writer, Duration ttl, int serverConnections) implements LeaseEvent {}

    /**
     * No transaction may begin; those that run go on.
     *
     * @param freeze larger than that of any freeze of this lease before
     * @param limit  after it everything goes on, whether or not that is said
     */
    record Frozen(int generation, int freeze, Duration limit) implements LeaseEvent {}

    /** Transactions may begin again, whatever was said of this freeze or an earlier one. */
    record Resumed(int generation, int freeze) implements LeaseEvent {}

    /** Why a writer may not be used any longer. */
    enum Reason {
        /** The compute died or was lost; a new generation follows. */
        WRITER_LOST,
        /** Stopped by request; the next Acquire wakes it again. */
        STOPPED,
        DELETED
    }

    record Revoked(int generation, Reason reason) implements LeaseEvent {}

    /** There will be no writer: deleted, in error. The three fields go to the client as they are. */
    record Refused(String sqlState, String message, String hint) implements LeaseEvent {}
}
