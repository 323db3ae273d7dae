package io.spg99.storage.quorum;

import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.util.List;
import java.util.Map;

/** What the WAL quorum answers; see {@link QuorumCommand}. */
public sealed interface QuorumReply {

    record Created() implements QuorumReply {}

    /**
     * @param history lineage up to {@code end}; its last term is the parent generation
     * @param end     R: where the timeline ends and the new generation begins
     * @param sources Safekeepers that have all of it, best first
     */
    record Prepared(int generation, WalHistory history, Lsn end, List<WalSource> sources) implements QuorumReply {}

    /** Somebody was promised {@code promised} already: the next generation must be larger. */
    record Superseded(int generation, int promised) implements QuorumReply {}

    record Following(int generation) implements QuorumReply {}

    /**
     * @param quorum  position that two Safekeepers have; zero if unknown
     * @param flushed last position heard of each Safekeeper
     */
    record Positions(int generation, Lsn quorum, Map<SafekeeperId, Lsn> flushed) implements QuorumReply {}

    record Deleted() implements QuorumReply {}

    /** No two Safekeepers answered in time; try again later. */
    record Unavailable(String reason) implements QuorumReply {}
}
