package io.spg99.compute.generation;

import io.spg99.compute.ComputeMessage;
import io.spg99.storage.wal.Lsn;

/** What a Database actor may ask of a generation, its child. It prepares by itself when spawned. */
public sealed interface GenerationCommand extends ComputeMessage {

    /** Start: the promises are there. Answers: the other {@link GenerationEvent}s. Only the first one counts. */
    record Recover(Recovery recovery) implements GenerationCommand {}

    /**
     * To a candidate that follows: the writer is gone, the promises are there. Replay up to exactly the end of {@code recovery},
     * then take over. Answers: as to Recover.
     */
    record TakeOver(Recovery recovery) implements GenerationCommand {}

    /** A candidate is about to be prepared: what this one has hot is put down for it. No answer. */
    enum ShareHot implements GenerationCommand {
        INSTANCE
    }

    /** A HandOver may come soon: it is to be quick. Answer: {@link GenerationEvent.HandOverPrepared}. */
    enum PrepareHandOver implements GenerationCommand {
        INSTANCE
    }

    /** A snapshot that ends there was published: the database is told. */
    record SnapshotPublished(Lsn end) implements GenerationCommand {}

    /**
     * Stop for a candidate that waits to go on. Nobody uses it any more; when two Safekeepers have the last of its WAL it ends at
     * once, without the checkpoint that nobody would read. Nothing is left for whoever starts here next, and the directory is
     * removed a while later, when the machine has time. Answers: {@link GenerationEvent.HandedOver} and Ended.
     */
    enum HandOver implements GenerationCommand {
        INSTANCE
    }

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
