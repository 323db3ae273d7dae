package io.spg99.storage.quorum;

import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.SafekeeperReply.Promised;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.util.Comparator;
import java.util.List;

/**
 * Where a timeline ends, decided from two or three promises.
 *
 * <p>The most advanced log wins, ordered by (generation it was established for, flushed position). A commit that a client
 * was told of is on two Safekeepers, so one of any two promises has it; and a generation begins only after two Safekeepers
 * are established for it, so a log established for an older one cannot hold a commit that a younger one lacks. The
 * generation of the last byte would not do: one that dies before it has written anything may have shown its end to
 * readers, and a log that it has left out would outweigh it.
 *
 * <p>Logs established for the same generation are of one history, one of them perhaps shorter: a generation chooses once.
 *
 * @param history lineage up to {@code end}, without empty terms
 * @param donors  those that have all of it, nothing of them to be cut off first
 */
public record QuorumDecision(WalHistory history, Lsn end, List<WalSource> donors) {

    /** @throws IllegalArgumentException with fewer than two promises, which decide nothing */
    public static QuorumDecision choose(List<Promised> promises) {
        if (promises.size() < SafekeeperId.QUORUM) {
            throw new IllegalArgumentException("two promises are needed to decide: promises=" + promises.size());
        }
        Promised best = promises.stream()
                .max(Comparator.comparingInt(Promised::established).thenComparing(Promised::flushed))
                .orElseThrow();
        WalHistory history = best.history().upTo(best.flushed());
        Lsn end = best.flushed();
        List<WalSource> donors = promises.stream()
                .filter(promise -> has(promise, history, end))
                .sorted(Comparator.comparing(Promised::flushed).thenComparing(Promised::safekeeper))
                .map(Promised::source)
                .toList();
        return new QuorumDecision(history, end, donors);
    }

    /** True if that log holds every byte of {@code history} up to {@code end}. */
    static boolean has(Promised promise, WalHistory history, Lsn end) {
        return history.commonEnd(end, promise.history().upTo(promise.flushed()), promise.flushed())
                .equals(end);
    }
}
