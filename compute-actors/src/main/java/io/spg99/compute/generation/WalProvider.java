package io.spg99.compute.generation;

import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.file.Path;

/** Port: brings the WAL a generation starts from. */
public interface WalProvider {

    /**
     * Fills {@code pgWal}, an existing empty directory, with the segment files of {@code recovery.history()} from
     * {@code start} to {@code recovery.end()}, each named after the generation that
     * {@link io.spg99.storage.wal.WalHistory#generationOfSegment} says. What follows the end in the last segment does not
     * matter. Blocks; is interrupted when the generation is stopped.
     */
    void fetch(GenerationSpec spec, Recovery recovery, Lsn start, Path pgWal) throws IOException;

    /** A fetch is to come soon; what can be done before it is known from whom and up to where may begin. Does not block. */
    default void prepare(GenerationSpec spec) {}

    /** The generation is gone, whether or not it has fetched. */
    default void forget(GenerationSpec spec) {}
}
