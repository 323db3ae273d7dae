package io.spg99.verify;

import io.spg99.nodes.safekeeper.log.MalformedWalException;
import io.spg99.nodes.safekeeper.log.WalRecordWalker;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import io.spg99.verify.Coverage.Visited;

/**
 * Object storage and the Pageserver, as far as rule W6 sees them: WAL that the quorum has is archived now and then, and a
 * snapshot of it published, on which the next generation starts.
 */
final class ArchiveSim {

    /**
     * What generations start on.
     *
     * @param history lineage up to {@code position}
     * @param position end of a record; nothing in the snapshot is newer
     * @param record   begin of that record; zero if there is none
     */
    record Snapshot(WalHistory history, Lsn position, Lsn record) {

        /** Where the WAL has to begin that a start needs; everything before it is archived. */
        Lsn horizon() {
            return position.segmentStart(GenerationWal.SEGMENT_SIZE);
        }
    }

    private final TimelineBase base;
    private final Checker checker;
    private final Coverage coverage;
    private Snapshot newest;

    ArchiveSim(TimelineBase base, Checker checker, Coverage coverage) {
        this.base = base;
        this.checker = checker;
        this.coverage = coverage;
        this.newest = new Snapshot(base.history(), base.start(), Lsn.ZERO);
    }

    Snapshot newest() {
        return newest;
    }

    /** A Pageserver was told that the quorum has {@code history} up to {@code end}, and makes a snapshot of it. */
    void publish(WalHistory history, Lsn end) {
        if (!end.isAfter(newest.position())) {
            return;
        }
        checker.archived(history.upTo(end), end);
        WalRecordWalker walker = new WalRecordWalker(
                base.systemIdentifier(), base.segmentSize(), history, newest.position(), newest.record());
        try {
            walker.accept(checker.read(history, newest.position(), end));
        } catch (MalformedWalException e) {
            throw new Violation("one history", "WAL up to " + end + " cannot be replayed: " + e.getMessage(), e);
        }
        if (!walker.recordEnd().equals(end)) {
            throw new Violation("one history", "a quorum position is not where a record ends: " + end);
        }
        newest = new Snapshot(history.upTo(end), end, walker.lastRecord());
        coverage.count(Visited.SNAPSHOTS_PUBLISHED);
    }
}
