package io.spg99.gateway.lease;

/**
 * A client session, as the actor of its database on this Gateway sees it. Called on the actor's thread: an implementation
 * hands over to its own thread and returns. Compared by identity.
 */
public interface LeaseHolder {

    /**
     * For one that waits: may connect there and log in, and no more than that before it is granted the same. May come
     * again, for a later generation.
     */
    void coming(LeaseEvent.Coming coming);

    /** Connect there. May come again after a failed connect. */
    void granted(Lease lease);

    /** There will be no writer; the error is for the client. The holder returns what it has. */
    void refused(LeaseEvent.Refused refusal);

    /**
     * The generation is gone. A holder that is connected to it closes; one that only connects asks again; one that waits
     * drops what it has connected ahead of time.
     */
    void revoked(int generation, LeaseEvent.Reason reason);
}
