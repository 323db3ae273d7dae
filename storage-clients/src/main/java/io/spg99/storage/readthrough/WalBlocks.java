package io.spg99.storage.readthrough;

import io.spg99.storage.postgres.PgWalDirectory;
import io.spg99.storage.postgres.WalFiles;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.BitSet;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Which blocks redo of some WAL will read: those that its records name, but for those that they bring whole or make anew. For reading
 * ahead only: PostgreSQL alone knows what redo does, and reads maps and other pages that no record names.
 *
 * <p>Layout (xlogrecord.h of PostgreSQL 17; little endian, not aligned), behind the 24 bytes of the record's header:
 *
 * <pre>
 * block   id u8 (0 to 32), fork and flags u8, length of its data u16;
 *         with 0x10 an image: length u16, offset u16, info u8, and if info has 0x01 and one of 0x1c: u16;
 *         without 0x80: tablespace u32, database u32, relfilenumber u32, else those of the block before; block u32
 * 252     u32; 253: u16
 * 255     length of the main data u8; 254: u32; always last
 * </pre>
 */
public final class WalBlocks {

    private static final int PAGE = 8192;
    private static final int RECORD_HEADER = 24;
    private static final int ALIGNMENT = 8;

    private static final int LAST_BLOCK_ID = 32;
    private static final int ID_TOPLEVEL_XID = 252;
    private static final int ID_ORIGIN = 253;
    private static final int FORK = 0x0F;
    private static final int HAS_IMAGE = 0x10;
    private static final int WILL_INIT = 0x40;
    private static final int SAME_RELATION = 0x80;
    private static final int IMAGE_HAS_HOLE = 0x01;
    private static final int IMAGE_APPLIED = 0x02;
    private static final int IMAGE_COMPRESSED = 0x1C;

    /** pg_default and pg_global. */
    private static final int DEFAULT_TABLESPACE = 1663;

    private static final int GLOBAL_TABLESPACE = 1664;

    /** Of resource manager 0: what follows in the segment is no WAL. */
    private static final int SWITCH = 0x40;

    /**
     * Blocks of one file.
     *
     * @param read  by redo
     * @param given whole by a record, before redo could read them
     */
    private record Named(BitSet read, BitSet given) {}

    private final SortedMap<RelationFile, Named> found = new TreeMap<>();

    private int tablespace;
    private int database;
    private int relation;

    /** The last one looked up: records name the same few relations again and again. */
    private RelationFile lastFile = new RelationFile(0, 0, RelationFile.Fork.MAIN, 0);

    private Named lastBlocks = new Named(new BitSet(), new BitSet());

    private WalBlocks() {}

    /**
     * Reads records from {@code from}, where one begins, up to the directory's end, or to the first that is none. Takes the memory of a
     * segment, and a bit for each block of the files that are named.
     *
     * @return block numbers within each file
     */
    public static SortedMap<RelationFile, BitSet> read(PgWalDirectory wal, Lsn from) throws IOException {
        WalBlocks blocks = new WalBlocks();
        int segmentSize = wal.segmentSize();
        // What is read and not used up yet: it begins with a record.
        ByteBuffer records = ByteBuffer.allocate(2 * segmentSize).order(ByteOrder.LITTLE_ENDIAN);
        Lsn at = from;
        boolean more = true;
        while (more && at.isBefore(wal.end())) {
            Lsn segment = at.segmentStart(segmentSize);
            Lsn end = Lsn.min(segment.plus(segmentSize), wal.end());
            readSegment(wal, segment, at, end, records);
            records.flip();
            more = blocks.takeAll(records);
            records.compact();
            at = end;
        }
        SortedMap<RelationFile, BitSet> read = new TreeMap<>();
        blocks.found.forEach((file, named) -> {
            if (!named.read.isEmpty()) {
                read.put(file, named.read);
            }
        });
        return read;
    }

    /** Appends the content of pages from {@code at} to {@code end}, without their headers. */
    private static void readSegment(PgWalDirectory wal, Lsn segment, Lsn at, Lsn end, ByteBuffer into)
            throws IOException {
        long number = segment.segment(wal.segmentSize());
        int generation = wal.history().generationOfSegment(number, wal.segmentSize());
        Path file = wal.directory().resolve(WalFiles.segmentName(generation, number, wal.segmentSize()));
        ByteBuffer bytes = ByteBuffer.allocate((int) end.minus(segment));
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            while (bytes.hasRemaining() && channel.read(bytes, bytes.position()) >= 0) {}
        }
        int length = bytes.position();
        int position = (int) at.minus(segment);
        while (position < length) {
            int inPage = position % PAGE;
            int header = position < PAGE ? WalFiles.LONG_HEADER : WalFiles.SHORT_HEADER;
            int begin = position - inPage + Math.max(inPage, header);
            int pageEnd = Math.min(position - inPage + PAGE, length);
            if (begin < pageEnd) {
                into.put(bytes.array(), begin, pageEnd - begin);
            }
            position = position - inPage + PAGE;
        }
    }

    /** Headers of pages are multiples of 8 long, so records begin at multiples of 8 without them, too. */
    private boolean takeAll(ByteBuffer records) {
        while (records.remaining() >= RECORD_HEADER) {
            int begin = records.position();
            long length = Integer.toUnsignedLong(records.getInt(begin));
            if (length < RECORD_HEADER || length > records.capacity() / 2) {
                return false;
            }
            long aligned = (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
            if (aligned > records.remaining()) {
                return true;
            }
            boolean switches = records.get(begin + 17) == 0 && (records.get(begin + 16) & 0xF0) == SWITCH;
            if (switches) {
                records.position(records.limit());
                return true;
            }
            ByteBuffer body = records.slice(begin + RECORD_HEADER, (int) length - RECORD_HEADER);
            try {
                take(body.order(ByteOrder.LITTLE_ENDIAN));
            } catch (BufferUnderflowException e) {
                return false;
            }
            records.position(begin + (int) aligned);
        }
        return true;
    }

    /** The data of the blocks, and the main data, follow all of these. */
    private void take(ByteBuffer in) {
        while (in.hasRemaining()) {
            int id = Byte.toUnsignedInt(in.get());
            if (id <= LAST_BLOCK_ID) {
                takeBlock(in);
            } else if (id == ID_TOPLEVEL_XID) {
                in.getInt();
            } else if (id == ID_ORIGIN) {
                in.getShort();
            } else {
                return;
            }
        }
    }

    private void takeBlock(ByteBuffer in) {
        int flags = Byte.toUnsignedInt(in.get());
        in.getShort();
        boolean given = (flags & WILL_INIT) != 0;
        if ((flags & HAS_IMAGE) != 0) {
            in.getInt();
            int info = in.get();
            given |= (info & IMAGE_APPLIED) != 0;
            if ((info & IMAGE_HAS_HOLE) != 0 && (info & IMAGE_COMPRESSED) != 0) {
                in.getShort();
            }
        }
        if ((flags & SAME_RELATION) == 0) {
            tablespace = in.getInt();
            database = in.getInt();
            relation = in.getInt();
        }
        int block = in.getInt();
        boolean known = tablespace == DEFAULT_TABLESPACE || tablespace == GLOBAL_TABLESPACE;
        if (known && (flags & FORK) <= RelationFile.Fork.LAST) {
            int segment = Integer.divideUnsigned(block, PresenceMap.SEGMENT_BLOCKS);
            int inSegment = Integer.remainderUnsigned(block, PresenceMap.SEGMENT_BLOCKS);
            Named named = blocksOf(RelationFile.Fork.of(flags & FORK), segment);
            if (given) {
                named.given.set(inSegment);
            } else if (!named.given.get(inSegment)) {
                named.read.set(inSegment);
            }
        }
    }

    private Named blocksOf(RelationFile.Fork fork, int segment) {
        int in = tablespace == GLOBAL_TABLESPACE ? 0 : database;
        boolean same = lastFile.relation() == relation
                && lastFile.database() == in
                && lastFile.fork() == fork
                && lastFile.segment() == segment;
        if (!same) {
            lastFile = new RelationFile(in, relation, fork, segment);
            lastBlocks = found.computeIfAbsent(lastFile, file -> new Named(new BitSet(), new BitSet()));
        }
        return lastBlocks;
    }
}
