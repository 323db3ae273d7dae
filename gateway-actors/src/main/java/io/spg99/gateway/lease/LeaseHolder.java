package io.spg99.gateway.lease;

/**
 * A pool of server connections, as the actor of its database on this Gateway sees it. Called on the actor's thread: an implementation
 * hands over to its own thread and returns. Compared by identity.
 */
public interface LeaseHolder {

    /**
     * For one that waits: may connect there and log in, and no more than that before it is granted the same. May come
     * again, for a later generation.
     */
    void coming(LeaseEvent.Coming coming);

    /** Connect there. May come again after a failed connect, and with another share. */
    void granted(Lease lease);

    /** Nothing may begin; what runs is told by {@link GatewayRegistry.Draining}, at once and at every change. */
    void frozen(LeaseEvent.Frozen frozen);

    /** Goes on, unless a later freeze holds. */
    void resumed(LeaseEvent.Resumed resumed);

    /** There will be no writer; the error is for the client. The holder returns what it has. */
    void refused(LeaseEvent.Refused refusal);

    /**
     * The generation is gone: what is connected to it, ahead of time or not, is of no use. A holder that wants the next one
     * asks again.
     */
    void revoked(int generation, LeaseEvent.Reason reason);
}
