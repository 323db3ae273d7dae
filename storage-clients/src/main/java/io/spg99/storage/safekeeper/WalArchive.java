package io.spg99.storage.safekeeper;

import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A timeline's WAL in object storage, below {@code timelines/<id>/wal/} under PostgreSQL's own names: complete segments, and
 * history files, as {@code restore_command} asks for them. A segment in which a generation begins is there under the name of
 * the last one that begins in it, as its head is a copy. What Safekeepers have removed (W6) is read here.
 */
public final class WalArchive {

    private static final Logger LOG = LoggerFactory.getLogger(WalArchive.class);

    private static final int CHUNK = 1 << 20;

    private final ObjectStore objects;
    private final TimelineId timeline;
    private final int segmentSize;

    public WalArchive(ObjectStore objects, TimelineId timeline, int segmentSize) {
        this.objects = objects;
        this.timeline = timeline;
        this.segmentSize = segmentSize;
    }

    /** What all names begin with. */
    public String prefix() {
        return "timelines/" + timeline + "/wal/";
    }

    /** Name of an archived segment of {@code history}. */
    public String key(WalHistory history, long segment) {
        return prefix() + WalSegmentName.of(history.generationOfSegment(segment, segmentSize), segment, segmentSize);
    }

    /**
     * Reads {@code [from, to)} along {@code history} from Safekeepers, and from here what none of them has any more. Blocks.
     *
     * @throws ReplicationException if something is in neither
     */
    public void fetch(WalFetch fetch, List<WalSource> sources, WalHistory history, Lsn from, Lsn to, WalSink sink)
            throws IOException {
        Position position = new Position(from, sink);
        while (position.next.isBefore(to)) {
            try {
                fetch.fetch(sources, history, position.next, to, position);
            } catch (ReplicationException e) {
                if (!read(history, to, position)) {
                    throw e;
                }
                while (position.next.isBefore(to) && read(history, to, position)) {
                    // As long as there is more: Safekeepers have what comes after.
                }
            }
        }
    }

    /** Reads the rest of one segment. @return false if it is not here */
    private boolean read(WalHistory history, Lsn to, Position position) throws IOException {
        Lsn from = position.next;
        String key = key(history, from.segment(segmentSize));
        Lsn end = Lsn.min(to, from.segmentStart(segmentSize).plus(segmentSize));
        try {
            while (position.next.isBefore(end)) {
                int length = (int) Math.min(CHUNK, end.minus(position.next));
                byte[] bytes = objects.read(key, position.next.offset(segmentSize), length);
                position.accept(position.next, ByteBuffer.wrap(bytes));
            }
        } catch (FileNotFoundException | EOFException e) {
            LOG.debug("not in the archive: object={}", key, e);
            return false;
        }
        LOG.info("timeline={} WAL {}..{} comes from the archive", timeline, from, end);
        return true;
    }

    private static final class Position implements WalSink {
        private Lsn next;
        private final WalSink sink;

        Position(Lsn next, WalSink sink) {
            this.next = next;
            this.sink = sink;
        }

        @Override
        public void accept(Lsn at, ByteBuffer bytes) throws IOException {
            int length = bytes.remaining();
            sink.accept(at, bytes);
            next = at.plus(length);
        }
    }
}
