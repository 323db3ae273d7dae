package io.spg99.nodes.pageserver;

import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.util.List;

/**
 * What is to become a snapshot.
 *
 * @param image   key of the timeline's base image
 * @param history lineage up to {@code end}
 * @param end     two Safekeepers have the WAL up to here
 * @param sources Safekeepers that serve it
 */
public record RedoJob(TimelineBase base, String image, WalHistory history, Lsn end, List<WalSource> sources) {

    public RedoJob {
        sources = List.copyOf(sources);
    }
}
