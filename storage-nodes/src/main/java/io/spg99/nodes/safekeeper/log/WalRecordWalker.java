package io.spg99.nodes.safekeeper.log;

import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;

/**
 * Walks the records in a stream of WAL (PostgreSQL 17) and knows where the last complete one ends. Checks what a reader
 * of PostgreSQL would check: page headers, the chain of previous-record pointers, every record's checksum. Any split of
 * the stream into pieces gives the same result.
 *
 * <p>Layout (xlogrecord.h, xlog_internal.h; little endian):
 *
 * <pre>
 * page    8192 bytes, header 24: magic u16, info u16, tli u32, pageaddr u64, rem_len u32, pad 4
 *         first page of a segment, header 40: … sysid u64, seg_size u32, blcksz u32
 * record  begins at a multiple of 8, its length always within one page; header 24:
 *         tot_len u32, xid u32, prev u64, info u8, rmid u8, pad 2, crc u32
 *         then data; goes on after the header of the next page, whose rem_len says how much is still to come
 * crc     CRC-32C over the data, then over the header up to the crc field
 * switch  rmid 0, info 0x40: the rest of the segment is padding
 * </pre>
 */
public final class WalRecordWalker {

    static final int PAGE = 8192;
    static final int SHORT_HEADER = 24;
    static final int LONG_HEADER = 40;
    static final int MAGIC = 0xD116;
    static final int FIRST_IS_CONTRECORD = 0x0001;
    static final int LONG_PAGE = 0x0002;
    static final int OVERWRITE_CONTRECORD = 0x0008;
    static final int ALL_FLAGS = 0x000F;

    static final int RECORD_HEADER = 24;
    static final int CRC_OFFSET = 20;
    static final int LONGEST_RECORD = 1020 * 1024 * 1024;
    static final int XLOG_CHECKPOINT_SHUTDOWN = 0x00;
    static final int XLOG_CHECKPOINT_ONLINE = 0x10;
    static final int XLOG_SWITCH = 0x40;

    private final long systemIdentifier;
    private final int segmentSize;

    private final WalHistory history;

    /** Next byte expected. */
    private Lsn position;

    /** End of the last complete record; where the next one begins, or the header of the page on which it does. */
    private Lsn recordEnd;

    /** Begin of the last complete record; zero if unknown, then the next one's predecessor is not checked. */
    private Lsn lastRecord;

    /** Begin and end of the last complete checkpoint record; zero before the first. */
    private Lsn checkpoint = Lsn.ZERO;

    private Lsn checkpointEnd = Lsn.ZERO;

    /** Begin of the checkpoint record before that; zero before the second. */
    private Lsn checkpointBefore = Lsn.ZERO;

    private final ByteBuffer pageHeader = ByteBuffer.allocate(LONG_HEADER).order(ByteOrder.LITTLE_ENDIAN);
    private final ByteBuffer recordHeader = ByteBuffer.allocate(RECORD_HEADER).order(ByteOrder.LITTLE_ENDIAN);
    private final CRC32C crc = new CRC32C();

    /** Begin of the record being read; meaningful only while {@link #recordLength} or a part of its header is known. */
    private Lsn recordBegin;

    /** Length of the record being read; 0 while it is not known. */
    private long recordLength;

    /** Bytes of the record being read that have been seen, header included. */
    private long recordSeen;

    /** Nothing was seen yet, and a record that begins earlier may go on where this one begins. */
    private boolean mayContinue;

    /** What is being read is the rest of a record whose begin was never seen: it cannot be checked. */
    private boolean headless;

    /** Padding still to be skipped after the record, up to a multiple of 8 or, after a switch, to the segment's end. */
    private long padding;

    /**
     * @param history    lineage that the WAL is to follow
     * @param recordEnd  where to begin: the end of a record, or the begin of a segment that begins with one
     * @param lastRecord begin of the record that ends there; zero if not known
     */
    public WalRecordWalker(long systemIdentifier, int segmentSize, WalHistory history, Lsn recordEnd, Lsn lastRecord) {
        this.systemIdentifier = systemIdentifier;
        this.segmentSize = segmentSize;
        this.history = history;
        this.position = recordEnd;
        this.recordEnd = recordEnd;
        this.recordBegin = recordEnd;
        this.lastRecord = lastRecord;
    }

    /**
     * Begins at the start of a segment, in the middle of a record perhaps: of that nothing can be checked but the pages it is in.
     */
    static WalRecordWalker fromSegment(long systemIdentifier, int segmentSize, WalHistory history, Lsn start) {
        WalRecordWalker walker = new WalRecordWalker(systemIdentifier, segmentSize, history, start, Lsn.ZERO);
        walker.mayContinue = true;
        return walker;
    }

    public Lsn position() {
        return position;
    }

    public Lsn recordEnd() {
        return recordEnd;
    }

    public Lsn lastRecord() {
        return lastRecord;
    }

    /** Begin of the last complete checkpoint record seen; zero if there was none. */
    public Lsn checkpoint() {
        return checkpoint;
    }

    /** End of that record. */
    public Lsn checkpointEnd() {
        return checkpointEnd;
    }

    /** Begin of the last complete checkpoint record but one; zero if there was none. */
    Lsn checkpointBefore() {
        return checkpointBefore;
    }

    /**
     * Takes the next bytes; those of complete records count even if what follows them is malformed.
     *
     * @throws MalformedWalException if they cannot be WAL; the walker is of no further use then, except for its
     *                               positions
     */
    public void accept(ByteBuffer bytes) throws MalformedWalException {
        while (bytes.hasRemaining()) {
            if (padding > 0) {
                skipPadding(bytes);
            } else if (inPageHeader()) {
                takePageHeader(bytes);
            } else if (recordSeen < RECORD_HEADER) {
                takeRecordHeader(bytes);
            } else {
                takeData(bytes);
            }
        }
    }

    private int headerLength() {
        return position.segmentStart(segmentSize).equals(pageStart()) ? LONG_HEADER : SHORT_HEADER;
    }

    private Lsn pageStart() {
        return new Lsn(position.value() & -PAGE);
    }

    private int pageOffset() {
        return (int) (position.value() & (PAGE - 1));
    }

    private boolean inPageHeader() {
        return pageOffset() < headerLength();
    }

    private void skipPadding(ByteBuffer bytes) {
        int skipped = (int) Math.min(padding, bytes.remaining());
        bytes.position(bytes.position() + skipped);
        position = position.plus(skipped);
        padding -= skipped;
        if (padding == 0) {
            completeRecord();
        }
    }

    private void takePageHeader(ByteBuffer bytes) throws MalformedWalException {
        int length = headerLength();
        if (pageOffset() == 0) {
            pageHeader.clear();
        }
        Lsn page = pageStart();
        int taken = take(bytes, pageHeader, length - pageHeader.position());
        position = position.plus(taken);
        if (pageHeader.position() == length) {
            checkPageHeader(page, length);
        }
    }

    private void checkPageHeader(Lsn page, int length) throws MalformedWalException {
        int info = Short.toUnsignedInt(pageHeader.getShort(2));
        expect(page, "page magic", MAGIC, Short.toUnsignedInt(pageHeader.getShort(0)));
        expect(page, "unknown page flags", 0, info & ~ALL_FLAGS);
        expect(page, "flag of a record given up", 0, info & OVERWRITE_CONTRECORD);
        expect(page, "flag of a long header", length == LONG_HEADER ? LONG_PAGE : 0, info & LONG_PAGE);
        expect(page, "generation of the page", history.generationAt(page), pageHeader.getInt(4));
        expect(page, "page address", page.value(), pageHeader.getLong(8));
        if (mayContinue) {
            mayContinue = false;
            if ((info & FIRST_IS_CONTRECORD) != 0) {
                continueRecord(page, Integer.toUnsignedLong(pageHeader.getInt(16)));
            }
        }
        boolean inRecord = recordSeen > 0;
        expect(page, "flag of a continued record", inRecord ? FIRST_IS_CONTRECORD : 0, info & FIRST_IS_CONTRECORD);
        long rest = inRecord ? recordLength - recordSeen : 0;
        expect(page, "rest of the record", rest, Integer.toUnsignedLong(pageHeader.getInt(16)));
        if (length == LONG_HEADER) {
            expect(page, "system identifier", systemIdentifier, pageHeader.getLong(24));
            expect(page, "segment size", segmentSize, pageHeader.getInt(32));
            expect(page, "page size", PAGE, pageHeader.getInt(36));
        }
    }

    private void continueRecord(Lsn page, long rest) throws MalformedWalException {
        if (rest == 0 || rest > LONGEST_RECORD) {
            throw new MalformedWalException(page, "rest of the record=" + rest);
        }
        headless = true;
        recordBegin = Lsn.ZERO;
        recordSeen = RECORD_HEADER;
        recordLength = RECORD_HEADER + rest;
        crc.reset();
    }

    private void takeRecordHeader(ByteBuffer bytes) throws MalformedWalException {
        if (recordSeen == 0) {
            recordBegin = position;
            recordHeader.clear();
            recordLength = 0;
        }
        int taken = take(bytes, recordHeader, Math.min(RECORD_HEADER - (int) recordSeen, PAGE - pageOffset()));
        position = position.plus(taken);
        recordSeen += taken;
        if (recordLength == 0 && recordSeen >= Integer.BYTES) {
            recordLength = Integer.toUnsignedLong(recordHeader.getInt(0));
            if (recordLength < RECORD_HEADER || recordLength > LONGEST_RECORD) {
                throw new MalformedWalException(recordBegin, "record length=" + recordLength);
            }
        }
        if (recordSeen == RECORD_HEADER) {
            if (!lastRecord.equals(Lsn.ZERO)) {
                expect(recordBegin, "previous record", lastRecord.value(), recordHeader.getLong(8));
            }
            crc.reset();
            if (recordLength == RECORD_HEADER) {
                checkRecord();
            }
        }
    }

    private void takeData(ByteBuffer bytes) throws MalformedWalException {
        int length = (int) Math.min(recordLength - recordSeen, Math.min(bytes.remaining(), PAGE - pageOffset()));
        ByteBuffer part = bytes.slice(bytes.position(), length);
        crc.update(part);
        bytes.position(bytes.position() + length);
        position = position.plus(length);
        recordSeen += length;
        if (recordSeen == recordLength) {
            checkRecord();
        }
    }

    private void checkRecord() throws MalformedWalException {
        if (headless) {
            padding = -position.value() & 7;
            if (padding == 0) {
                completeRecord();
            }
            return;
        }
        crc.update(recordHeader.array(), 0, CRC_OFFSET);
        expect(recordBegin, "record checksum", Integer.toUnsignedLong(recordHeader.getInt(CRC_OFFSET)), crc.getValue());
        int info = Byte.toUnsignedInt(recordHeader.get(16)) & 0xF0;
        int resourceManager = recordHeader.get(17);
        boolean switching = resourceManager == 0 && info == XLOG_SWITCH;
        if (switching) {
            int offset = position.offset(segmentSize);
            padding = offset == 0 ? 0 : segmentSize - offset;
        } else {
            padding = -recordLength & 7;
        }
        if (padding == 0) {
            completeRecord();
        }
    }

    private void completeRecord() {
        lastRecord = recordBegin;
        recordEnd = position;
        if (!headless && isCheckpoint()) {
            checkpointBefore = checkpoint;
            checkpoint = recordBegin;
            checkpointEnd = recordEnd;
        }
        headless = false;
        recordSeen = 0;
        recordLength = 0;
    }

    private boolean isCheckpoint() {
        int info = Byte.toUnsignedInt(recordHeader.get(16)) & 0xF0;
        return recordHeader.get(17) == 0 && (info == XLOG_CHECKPOINT_SHUTDOWN || info == XLOG_CHECKPOINT_ONLINE);
    }

    private static int take(ByteBuffer from, ByteBuffer to, int most) {
        int length = Math.min(most, from.remaining());
        to.put(to.position(), from, from.position(), length);
        to.position(to.position() + length);
        from.position(from.position() + length);
        return length;
    }

    private static void expect(Lsn at, String what, long expected, long actual) throws MalformedWalException {
        if (expected != actual) {
            throw new MalformedWalException(at, "%s: expected=%x actual=%x".formatted(what, expected, actual));
        }
    }
}
