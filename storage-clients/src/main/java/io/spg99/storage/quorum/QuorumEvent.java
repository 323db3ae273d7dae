package io.spg99.storage.quorum;

import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.util.List;
import java.util.Optional;

/** What the WAL quorum says unasked to whoever asked it to prepare a generation, or to follow a writer. */
public sealed interface QuorumEvent {

    /**
     * The writer of {@code generation} can never again be followed by two Safekeepers: it has removed WAL that they lack. It
     * must be replaced; everything it acknowledged is in what they have. Said once per {@link QuorumCommand.Follow}.
     */
    record Unfollowable(int generation, String reason) implements QuorumEvent {}

    /**
     * Commits of {@code generation} wait, as long as it is followed, because Safekeepers hold as much WAL as they may, or no longer do.
     * Said when it changes.
     *
     * @param reason empty if they do not wait any more
     */
    record Waiting(int generation, Optional<String> reason) implements QuorumEvent {}

    /**
     * Where {@code generation} begins, if it comes to that: it may recover up to there meanwhile, but only {@link
     * QuorumReply.Prepared} lets anybody see it. If that does not come, the generation is over. Not every Prepared has been
     * announced so.
     *
     * @param sources Safekeepers that have all of it; they hand it out up to {@code end} once it is established
     */
    record Chosen(int generation, WalHistory history, Lsn end, List<WalSource> sources) implements QuorumEvent {}

    /**
     * Two Safekeepers have the WAL up to {@code end}, more than when this was said last. Said now and then while the writer of
     * {@code generation} is followed, when it is first followed, and after its release; again and again, though it does not move,
     * while commits wait for the next snapshot ({@link Waiting}).
     *
     * @param history lineage up to {@code end}
     * @param sources Safekeepers that serve it
     * @param over    {@code end} is where the generation ended, or where it began: what was written before it is over
     */
    record Advanced(int generation, WalHistory history, Lsn end, List<WalSource> sources, boolean over)
            implements QuorumEvent {}
}
