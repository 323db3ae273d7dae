package io.spg99.verify;

import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.zip.CRC32C;

/**
 * The WAL that one generation wrote, from its begin on: pages and records as PostgreSQL 17 writes them, random in content,
 * so that the bytes of two generations are nowhere alike. This is the truth that everything else is compared with.
 */
final class GenerationWal {

    /** Two pages: segments are completed often. */
    static final int SEGMENT_SIZE = 16384;

    static final long SYSTEM_IDENTIFIER = 0x7123456789abcdefL;
    static final TimelineId TIMELINE = new TimelineId("00112233445566778899aabbccddeeff");

    private static final int PAGE = 8192;
    private static final int RECORD_HEADER = 24;
    private static final int MAGIC = 0xD116;
    private static final int SWITCH = 0x40;

    private final SplittableRandom random;
    private final WalHistory lineage;
    private final Lsn begin;
    private Lsn previous;
    private byte[] bytes = new byte[SEGMENT_SIZE];
    private int length;

    /**
     * @param lineage  up to this generation, which is its last term
     * @param previous begin of the last record before it
     */
    GenerationWal(SplittableRandom random, WalHistory lineage, Lsn previous) {
        this.random = random;
        this.lineage = lineage;
        this.begin = lineage.last().begin();
        this.previous = previous;
    }

    /** What initdb wrote. */
    static GenerationWal creation(SplittableRandom random) {
        Lsn start = new Lsn(3L * SEGMENT_SIZE);
        GenerationWal wal = new GenerationWal(random, WalHistory.of(TimelineBase.CREATION, start), Lsn.ZERO);
        wal.record(90, 0x10);
        return wal;
    }

    TimelineBase base() {
        return new TimelineBase(TIMELINE, SYSTEM_IDENTIFIER, SEGMENT_SIZE, begin, Arrays.copyOf(bytes, length));
    }

    int generation() {
        return lineage.last().generation();
    }

    WalHistory lineage() {
        return lineage;
    }

    Lsn begin() {
        return begin;
    }

    Lsn end() {
        return begin.plus(length);
    }

    /** A copy of {@code [from, to)}. */
    ByteBuffer slice(Lsn from, Lsn to) {
        return ByteBuffer.wrap(Arrays.copyOfRange(bytes, (int) from.minus(begin), (int) to.minus(begin)));
    }

    /** True if {@code length} bytes of a file at {@code offset} are what was written from {@code from} on. */
    boolean matches(Lsn from, byte[] file, int offset, int count) {
        int at = (int) from.minus(begin);
        return at + count <= length && Arrays.equals(bytes, at, at + count, file, offset, offset + count);
    }

    boolean matches(Lsn from, ByteBuffer other) {
        int at = (int) from.minus(begin);
        return at + other.remaining() <= length
                && ByteBuffer.wrap(bytes, at, other.remaining()).equals(other);
    }

    /** Appends a record with {@code size} bytes of data. */
    void record(int size) {
        record(size, 0x10);
    }

    /** Ends the segment. */
    void switchSegment() {
        record(0, SWITCH);
        int rest = end().offset(SEGMENT_SIZE);
        if (rest != 0) {
            reserve(SEGMENT_SIZE - rest);
            length += SEGMENT_SIZE - rest;
        }
    }

    private void record(int size, int info) {
        int total = RECORD_HEADER + size;
        ByteBuffer record = ByteBuffer.allocate(total).order(ByteOrder.LITTLE_ENDIAN);
        pageHeader(0);
        Lsn at = end();
        record.putInt(0, total).putInt(4, generation()).putLong(8, previous.value());
        record.put(16, (byte) info);
        for (int i = RECORD_HEADER; i < total; i++) {
            record.put(i, (byte) random.nextInt());
        }
        CRC32C crc = new CRC32C();
        crc.update(record.array(), RECORD_HEADER, size);
        crc.update(record.array(), 0, 20);
        record.putInt(20, (int) crc.getValue());
        int done = 0;
        while (done < total) {
            pageHeader(total - done);
            int part = Math.min(total - done, PAGE - (int) (end().value() & (PAGE - 1)));
            reserve(part);
            System.arraycopy(record.array(), done, bytes, length, part);
            length += part;
            done += part;
        }
        int padding = (int) (-end().value() & 7);
        reserve(padding);
        length += padding;
        previous = at;
    }

    /** @param rest bytes of a record that goes on in this page; 0 if one begins */
    private void pageHeader(int rest) {
        Lsn page = end();
        if ((page.value() & (PAGE - 1)) != 0) {
            return;
        }
        boolean first = page.offset(SEGMENT_SIZE) == 0;
        int size = first ? 40 : 24;
        reserve(size);
        ByteBuffer header = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        header.putShort(length, (short) MAGIC)
                .putShort(length + 2, (short) ((first ? 2 : 0) | (rest > 0 ? 1 : 0)))
                .putInt(length + 4, generation())
                .putLong(length + 8, page.value())
                .putInt(length + 16, rest);
        if (first) {
            header.putLong(length + 24, SYSTEM_IDENTIFIER)
                    .putInt(length + 32, SEGMENT_SIZE)
                    .putInt(length + 36, PAGE);
        }
        length += size;
    }

    private void reserve(int more) {
        if (length + more > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(bytes.length * 2, length + more));
        }
    }
}
