package io.spg99.nodes.safekeeper.serve;

import io.spg99.nodes.safekeeper.log.TimelineLog;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Optional;

/** One stream of WAL to one client, apart from its connection: what may be sent next (W4). */
public final class ServedStream {

    private final ServedTimeline served;
    private final boolean peer;

    /** Lineage up to the requested generation. */
    private final WalHistory lineage;

    private Lsn position;

    private ServedStream(ServedTimeline served, boolean peer, WalHistory lineage, Lsn position) {
        this.served = served;
        this.peer = peer;
        this.lineage = lineage;
        this.position = position;
    }

    /**
     * Begins at {@code from} a stream of the lineage whose last term is {@code generation}.
     *
     * @param peer the client is a Safekeeper of this platform
     * @throws ReplicationException with an SQLSTATE, if there is no such WAL here
     */
    public static ServedStream open(ServedTimeline served, boolean peer, Lsn from, int generation)
            throws ReplicationException {
        TimelineLog.View view = served.view();
        Optional<WalHistory> lineage = lineage(view, generation);
        if (lineage.isEmpty()) {
            throw new ReplicationException(
                    "generation " + generation + " is not in this timeline's history here", "58P01");
        }
        if (from.isBefore(view.horizon())) {
            throw new ReplicationException(
                    "requested WAL segment has already been removed: the WAL here begins at " + view.horizon(),
                    "58P01");
        }
        if (from.isAfter(view.flushed())) {
            throw new ReplicationException(
                    "requested starting point " + from + " is ahead of the WAL flush position of this server "
                            + view.flushed(),
                    "55000");
        }
        return new ServedStream(served, peer, lineage.get(), from);
    }

    /** The lineage here up to a generation; none if that is no part of it. */
    static Optional<WalHistory> lineage(TimelineLog.View view, int generation) {
        List<WalHistory.Term> terms = view.history().terms().stream()
                .filter(term -> term.generation() <= generation)
                .toList();
        return terms.isEmpty() || terms.getLast().generation() != generation
                ? Optional.empty()
                : Optional.of(new WalHistory(terms));
    }

    public WalHistory lineage() {
        return lineage;
    }

    int generation() {
        return lineage.last().generation();
    }

    /** Next byte to be sent. */
    public Lsn position() {
        return position;
    }

    /**
     * Up to where it may be sent now.
     *
     * @throws IOException if what was sent last is no longer part of the timeline
     */
    public Lsn end() throws IOException {
        Lsn common = common(served.view());
        if (position.isAfter(common)) {
            throw new IOException("the WAL asked for is no longer part of the timeline");
        }
        return Lsn.min(served.limit(peer), common);
    }

    /** True if a later generation goes on where this one has been sent to its end. */
    public boolean isOver() {
        TimelineLog.View view = served.view();
        return view.generation() > generation() && position.equals(common(view));
    }

    /** What is read must be of the lineage that was asked for, even if the log was cut meanwhile. */
    private Lsn common(TimelineLog.View view) {
        return lineage.commonEnd(view.flushed(), view.history(), view.flushed());
    }

    /**
     * Reads on.
     *
     * @param end as last told by {@link #end}
     * @return number of bytes, at least one
     */
    public int read(ByteBuffer into, Lsn end) throws IOException {
        int read = served.read(lineage, position, end, into);
        if (read == 0) {
            throw new IOException("WAL missing");
        }
        position = position.plus(read);
        return read;
    }
}
