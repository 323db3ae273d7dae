package io.spg99.compute.generation;

import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;

/** Port: brings the WAL a generation starts from, and that of a running writer. */
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

    /** WAL that comes in, on threads of its own. For any thread. */
    interface Following {

        /** Up to here it is in {@code pg_wal}. */
        Lsn received();

        /** Why nothing comes in any more, and never will: it cannot be written. Empty as long as it can. */
        Optional<String> failure();

        /** Ends it; nothing is written any more when this returns. Blocks for some milliseconds. May be called again. */
        Lsn stop();
    }

    /**
     * Goes on from {@code recovery.end()} with whatever the writer of {@code recovery.parent()} adds and the quorum has, into the
     * segment files of {@code pgWal}, until told to stop; what the Safekeepers do not serve for a while is asked for again.
     *
     * @throws UnsupportedOperationException if there is nobody to follow
     */
    default Following follow(GenerationSpec spec, Recovery recovery, Path pgWal) {
        throw new UnsupportedOperationException("this WAL cannot be followed");
    }
}
