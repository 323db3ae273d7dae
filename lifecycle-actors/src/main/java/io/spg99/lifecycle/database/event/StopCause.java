package io.spg99.lifecycle.database.event;

/** Why a writer is stopped. */
public enum StopCause {
    /** Nobody used the database for its idle timeout. */
    IDLE,
    /** By request. */
    REQUESTED,
    /** The database's actor leaves this node. */
    MOVING
}
