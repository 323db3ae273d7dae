package io.spg99.nodes.safekeeper.serve;

import io.spg99.nodes.safekeeper.log.TimelineLog;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** A timeline as the WAL server sees it: what may be read, and a bell that rings when that has changed. For any thread. */
public final class ServedTimeline {

    private final TimelineLog log;
    private final Set<Runnable> listeners = ConcurrentHashMap.newKeySet();

    /** Two of three Safekeepers have the WAL up to here; in memory only, told anew after a restart. */
    private volatile Lsn quorum = Lsn.ZERO;

    public ServedTimeline(TimelineLog log) {
        this.log = log;
    }

    public void quorum(Lsn position) {
        quorum = position;
        changed();
    }

    /** To be called whenever the log's view has changed. */
    public void changed() {
        listeners.forEach(Runnable::run);
    }

    public TimelineBase base() {
        return log.base();
    }

    public TimelineLog.View view() {
        return log.view();
    }

    /** Up to where a client may read (W4): a Safekeeper all that is durable here, others what the quorum has. */
    public Lsn limit(boolean peer) {
        Lsn flushed = log.view().flushed();
        return peer ? flushed : Lsn.min(flushed, quorum);
    }

    int read(WalHistory lineage, Lsn from, Lsn end, ByteBuffer into) throws IOException {
        return log.read(lineage, from, end, into);
    }

    public void listen(Runnable listener) {
        listeners.add(listener);
    }

    public void unlisten(Runnable listener) {
        listeners.remove(listener);
    }
}
