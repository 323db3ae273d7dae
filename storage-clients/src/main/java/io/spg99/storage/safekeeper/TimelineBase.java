package io.spg99.storage.safekeeper;

import io.spg99.storage.StorageMessage;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;

/**
 * Where a timeline begins: everything a Safekeeper needs to know to hold its WAL.
 *
 * @param systemIdentifier PostgreSQL's, unique to this timeline: a stream of another database is never accepted
 * @param segmentSize      WAL segment size in bytes
 * @param start            start of the first segment; the horizon of rule W3
 * @param firstWal         the bytes from {@code start} to the end of the base image's shutdown checkpoint record (under
 *                         one WAL page); written by generation 1, the making of the image
 */
@SuppressWarnings("ArrayRecordComponent") // a few bytes of WAL, never compared and never changed
public record TimelineBase(TimelineId timeline, long systemIdentifier, int segmentSize, Lsn start, byte[] firstWal)
        implements StorageMessage {

    /** The generation that creation counts as: TLI 1, written by initdb. */
    public static final int CREATION = 1;

    public Lsn end() {
        return start.plus(firstWal.length);
    }

    public WalHistory history() {
        return WalHistory.of(CREATION, start);
    }
}
