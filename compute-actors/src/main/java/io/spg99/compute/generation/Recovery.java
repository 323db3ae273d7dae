package io.spg99.compute.generation;

import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.util.List;

/**
 * Where a generation begins, as the promises of its Safekeepers say.
 *
 * @param history lineage up to {@code end}; its last term is the parent
 * @param end     R: the WAL is replayed to exactly here
 * @param sources Safekeepers that serve this WAL, best first
 */
public record Recovery(WalHistory history, Lsn end, List<WalSource> sources) {

    public Recovery {
        sources = List.copyOf(sources);
    }

    /** The TLI that the WAL up to {@link #end} is on. */
    public int parent() {
        return history.last().generation();
    }
}
