package io.spg99.compute.generation;

import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.file.Path;

/** Port: brings the WAL a generation starts from. */
@FunctionalInterface
public interface WalProvider {

    /**
     * Fills {@code pgWal}, an existing empty directory, with the segment files of {@code recovery.history()} from
     * {@code start} to {@code recovery.end()}, each named after the generation that
     * {@link io.spg99.storage.wal.WalHistory#generationOfSegment} says. What follows the end in the last segment does not
     * matter. Blocks; is interrupted when the generation is stopped.
     */
    void fetch(GenerationSpec spec, Recovery recovery, Lsn start, Path pgWal) throws IOException;
}
