package io.spg99.nodes.safekeeper.log;

import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.zip.CRC32C;

/** Writes WAL as PostgreSQL would, with random content: pages, records across pages and segments, switches. */
final class FakeWal {

    static final int SEGMENT_SIZE = 1 << 16;
    static final long SYSTEM_IDENTIFIER = 0x7123456789abcdefL;

    private final Lsn start;
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    /** What {@link #slice} gives parts of: not copied for each of them. */
    private byte[] written = {};

    private final List<Lsn> recordEnds = new ArrayList<>();
    private WalHistory history;
    private Lsn previous = Lsn.ZERO;

    private FakeWal(Lsn start, WalHistory history) {
        this.start = start;
        this.history = history;
    }

    /** WAL of generation 1 from a segment's start, with one record. */
    static FakeWal begin() {
        Lsn start = new Lsn(3L * SEGMENT_SIZE);
        FakeWal wal = new FakeWal(start, WalHistory.of(1, start));
        wal.record(new byte[90], 0x10);
        return wal;
    }

    /** Another continuation of this WAL, which ends at {@code end}, in a new generation. */
    FakeWal branch(int generation, Lsn end, Lsn lastRecord) {
        FakeWal branch = new FakeWal(start, history.upTo(end).append(generation, end));
        branch.out.write(bytes(), 0, (int) end.minus(start));
        branch.previous = lastRecord;
        recordEnds.stream().filter(recordEnd -> !recordEnd.isAfter(end)).forEach(branch.recordEnds::add);
        return branch;
    }

    FakeWal branch(int generation) {
        return branch(generation, end(), previous);
    }

    FakeWal records(Random random, int count) {
        for (int i = 0; i < count; i++) {
            int kind = random.nextInt(20);
            int length = kind == 0 ? random.nextInt(3 * 8192) : random.nextInt(200);
            byte[] data = new byte[length];
            random.nextBytes(data);
            record(data, 0x10);
        }
        return this;
    }

    FakeWal switchSegment() {
        record(new byte[0], WalRecordWalker.XLOG_SWITCH);
        while (end().offset(SEGMENT_SIZE) != 0) {
            out.write(0);
        }
        recordEnds.set(recordEnds.size() - 1, end());
        return this;
    }

    void record(byte[] data, int info) {
        int length = WalRecordWalker.RECORD_HEADER + data.length;
        pageHeader(0);
        Lsn begin = end();
        ByteBuffer record = ByteBuffer.allocate(length).order(ByteOrder.LITTLE_ENDIAN);
        record.putInt(0, length).putInt(4, 700).putLong(8, previous.value());
        record.put(16, (byte) info).put(17, (byte) 0);
        record.put(WalRecordWalker.RECORD_HEADER, data);
        CRC32C crc = new CRC32C();
        crc.update(data);
        crc.update(record.array(), 0, WalRecordWalker.CRC_OFFSET);
        record.putInt(WalRecordWalker.CRC_OFFSET, (int) crc.getValue());
        for (int i = 0; i < length; i++) {
            pageHeader(length - i);
            out.write(record.get(i));
        }
        while ((end().value() & 7) != 0) {
            out.write(0);
        }
        previous = begin;
        recordEnds.add(end());
    }

    /** @param rest bytes of a record that goes on in this page; 0 if a record begins */
    private void pageHeader(int rest) {
        Lsn page = end();
        if ((page.value() & (WalRecordWalker.PAGE - 1)) != 0) {
            return;
        }
        boolean first = page.offset(SEGMENT_SIZE) == 0;
        ByteBuffer header = ByteBuffer.allocate(first ? WalRecordWalker.LONG_HEADER : WalRecordWalker.SHORT_HEADER)
                .order(ByteOrder.LITTLE_ENDIAN);
        int info = (first ? WalRecordWalker.LONG_PAGE : 0) | (rest > 0 ? WalRecordWalker.FIRST_IS_CONTRECORD : 0);
        header.putShort(0, (short) WalRecordWalker.MAGIC)
                .putShort(2, (short) info)
                .putInt(4, history.last().generation())
                .putLong(8, page.value())
                .putInt(16, rest);
        if (first) {
            header.putLong(24, SYSTEM_IDENTIFIER).putInt(32, SEGMENT_SIZE).putInt(36, WalRecordWalker.PAGE);
        }
        out.writeBytes(header.array());
    }

    TimelineBase base() {
        return new TimelineBase(
                new TimelineId("00000000000000000000000000000001"),
                SYSTEM_IDENTIFIER,
                SEGMENT_SIZE,
                start,
                Arrays.copyOf(bytes(), (int) recordEnds.getFirst().minus(start)));
    }

    Lsn start() {
        return start;
    }

    Lsn end() {
        return start.plus(out.size());
    }

    Lsn previous() {
        return previous;
    }

    WalHistory history() {
        return history;
    }

    List<Lsn> recordEnds() {
        return recordEnds;
    }

    byte[] bytes() {
        return out.toByteArray();
    }

    ByteBuffer slice(Lsn from, Lsn to) {
        if (written.length != out.size()) {
            written = bytes();
        }
        return ByteBuffer.wrap(written, (int) from.minus(start), (int) to.minus(from))
                .slice();
    }
}
