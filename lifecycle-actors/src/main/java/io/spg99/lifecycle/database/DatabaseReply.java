package io.spg99.lifecycle.database;

import io.spg99.lifecycle.LifecycleMessage;
import io.spg99.lifecycle.model.DatabaseView;

/** What a Database actor answers. */
public sealed interface DatabaseReply extends LifecycleMessage {

    /**
     * Done, or seen to.
     *
     * @param sequence number of the event that {@code view} was made after
     */
    record Accepted(DatabaseView view, long sequence) implements DatabaseReply {}

    record Described(DatabaseView view) implements DatabaseReply {}

    /** The state forbids it; the caller must change something first. */
    record Conflict(String message) implements DatabaseReply {}

    /** There is no such database, or there is none any longer. */
    record NotFound() implements DatabaseReply {}

    /** Not now; the same request may succeed in a moment. */
    record Unavailable(String message) implements DatabaseReply {}
}
