package io.spg99.compute.generation;

/** What a Database actor may ask of a generation, its child. It prepares by itself when spawned. */
public sealed interface GenerationCommand {

    /** Start: the promises are there. Answers: the other {@link GenerationEvent}s. Only the first one counts. */
    record Recover(Recovery recovery) implements GenerationCommand {}

    /** Stop in order: fast shutdown, all WAL to the Safekeepers, directory removed. Answer: {@link GenerationEvent.Ended}. */
    enum Stop implements GenerationCommand {
        INSTANCE
    }

    /** Stop at once: no checkpoint, no waiting for anybody, directory removed. Answer: {@link GenerationEvent.Ended}. */
    enum Kill implements GenerationCommand {
        INSTANCE
    }

    /** The generation actor's own timers and adapted replies. */
    sealed interface Private extends GenerationCommand permits ComputeGeneration.Internal {}
}
