package io.spg99.gateway.pool;

/** How a freeze goes, told to who asked for it: one of these, unless it resumes or the writer is gone before. */
public sealed interface FreezeEvent {

    /** The safe window: no transaction runs, no session is pinned, and none begins until {@link PoolsCommand.Resume}. */
    record Drained(int generation) implements FreezeEvent {}

    /** The limit has passed; everything goes on. What was in the way, as last heard. */
    record Thawed(int generation, int running, int pinned) implements FreezeEvent {}
}
