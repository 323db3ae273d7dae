package io.spg99.storage.readthrough;

import java.io.IOException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;

/**
 * Which blocks of which files are on the local disk: a file that the agent and all processes of one PostgreSQL server have
 * mapped, and change by compare-and-swap. docs/READ-THROUGH.md describes it; spg99_readthrough.c is the other user.
 *
 * <pre>
 * header   magic 8 bytes "SPG99RT2", length u64, files u32, limit in ms u32, hits u64, room u32, added u32, pages u32, taken u32,
 *          offsets of slots, index and pages u64 each
 * entry    database u32, relation u32, fork and segment u32, blocks u32, place u32, evictions u32, offset of its states u64
 * …        sorted by the first three; then room for more, in the order in which processes add them
 * states   per listed file, from a multiple of 4 on: 4 bits per block, the lowest bits first, to a multiple of 8 blocks
 * slots    per entry 16 u32: which page has the states of its blocks from that number times 8192 on
 * index    of added entries, by a hash of their keys
 * pages    of states, taken by processes for blocks that they write and that have none yet
 * </pre>
 *
 * Little endian. What is listed is written before anybody else maps the file; what comes after the states is a hole then.
 */
final class PresenceMap {

    /** Bits and values of a block's state; those without {@link #READABLE} are {@link #MISSING} and three kinds of busy. */
    static final int MISSING = 0;

    static final int FILLING = 1;
    static final int WRITING = 2;
    static final int CHECKING = 3;
    static final int USED = 1;
    static final int CUT = 2;
    static final int DIRTY = 4;
    static final int READABLE = 8;

    /** What a file's name stands for. */
    static final int ABSENT = 0;

    static final int CREATING = 1;
    static final int HERE = 2;
    static final int GONE = 3;

    private static final long MAGIC = ByteBuffer.wrap("SPG99RT2".getBytes(StandardCharsets.US_ASCII))
            .order(ByteOrder.LITTLE_ENDIAN)
            .getLong();

    /** Files that may be added, and pages of states: enough for a terabyte; 66 MB of holes. Beyond that nothing is evicted. */
    private static final int ROOM = 16384;

    private static final int PAGES = 16384;

    /** PostgreSQL's RELSEG_SIZE: no file of a relation has more blocks. */
    static final int SEGMENT_BLOCKS = 131072;

    private static final int HEADER = 72;
    private static final int LENGTH_OFFSET = 8;
    private static final int FILES_OFFSET = 16;
    private static final int LIMIT_OFFSET = 20;
    private static final int HITS_OFFSET = 24;
    private static final int ROOM_OFFSET = 32;
    private static final int ADDED_OFFSET = 36;
    private static final int PAGES_OFFSET = 40;
    private static final int TAKEN_OFFSET = 44;
    private static final int SLOTS_OFFSET = 48;
    private static final int INDEX_OFFSET = 56;
    private static final int PAGES_BEGIN_OFFSET = 64;

    private static final int ENTRY = 32;
    private static final int BLOCKS_OFFSET = 12;
    private static final int PLACE_OFFSET = 16;
    private static final int EVICTIONS_OFFSET = 20;
    private static final int STATES_OFFSET = 24;

    private static final int STATE_BITS = 4;
    private static final int PER_WORD = Integer.SIZE / STATE_BITS;

    private static final int PAGE_BYTES = 4096;
    private static final int PAGE_BLOCKS = PAGE_BYTES * 2;
    private static final int PAGES_OF_FILE = SEGMENT_BLOCKS / PAGE_BLOCKS;

    /** Of a block that has no place for one: it was never written, or there was no page left. */
    private static final int NO_STATE = READABLE | CUT;

    private static final VarHandle WORD = MethodHandles.byteBufferViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONG = MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

    private final MappedByteBuffer bytes;
    private final int listed;
    private final int room;
    private final int slots;
    private final int pages;

    private PresenceMap(MappedByteBuffer bytes) {
        this.bytes = bytes;
        this.listed = bytes.getInt(FILES_OFFSET);
        this.room = bytes.getInt(ROOM_OFFSET);
        this.slots = Math.toIntExact(bytes.getLong(SLOTS_OFFSET));
        this.pages = Math.toIntExact(bytes.getLong(PAGES_BEGIN_OFFSET));
    }

    /**
     * Writes the map of a directory that has none of these files.
     *
     * @param sizes in blocks
     * @param limit how long a read waits
     */
    static PresenceMap create(Path path, SortedMap<RelationFile, Integer> sizes, Duration limit) throws IOException {
        long slots = HEADER + (long) ENTRY * (sizes.size() + ROOM);
        for (int blocks : sizes.values()) {
            slots += statesLength(blocks);
        }
        slots = pageEnd(slots);
        long index = slots + (long) PAGES_OF_FILE * Integer.BYTES * (sizes.size() + ROOM);
        long pages = pageEnd(index + 2L * ROOM * Integer.BYTES);
        long length = pages + (long) PAGES * PAGE_BYTES;
        if (length > Integer.MAX_VALUE) {
            throw new IOException("presence map would be too large: files=" + sizes.size() + " bytes=" + length);
        }
        try (FileChannel channel = FileChannel.open(
                path,
                Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.READ, StandardOpenOption.WRITE),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))) {
            MappedByteBuffer bytes = channel.map(FileChannel.MapMode.READ_WRITE, 0, length);
            bytes.order(ByteOrder.LITTLE_ENDIAN);
            bytes.putLong(0, MAGIC);
            bytes.putLong(LENGTH_OFFSET, length);
            bytes.putInt(FILES_OFFSET, sizes.size());
            bytes.putInt(LIMIT_OFFSET, Math.toIntExact(limit.toMillis()));
            bytes.putInt(ROOM_OFFSET, ROOM);
            bytes.putInt(PAGES_OFFSET, PAGES);
            bytes.putLong(SLOTS_OFFSET, slots);
            bytes.putLong(INDEX_OFFSET, index);
            bytes.putLong(PAGES_BEGIN_OFFSET, pages);
            int entry = HEADER;
            int states = HEADER + ENTRY * (sizes.size() + ROOM);
            for (Map.Entry<RelationFile, Integer> size : sizes.entrySet()) {
                RelationFile file = size.getKey();
                bytes.putInt(entry, file.database());
                bytes.putInt(entry + 4, file.relation());
                bytes.putInt(entry + 8, file.forkSegment());
                bytes.putInt(entry + BLOCKS_OFFSET, size.getValue());
                bytes.putLong(entry + STATES_OFFSET, states);
                entry += ENTRY;
                states += statesLength(size.getValue());
            }
            PresenceMap map = new PresenceMap(bytes);
            for (int file = 0; file < map.listed; file++) {
                for (int block = map.blocks(file); block < packed(map.blocks(file)); block++) {
                    map.change(file, block, MISSING, NO_STATE);
                }
            }
            return map;
        }
    }

    private static long pageEnd(long offset) {
        return (offset + PAGE_BYTES - 1) & -PAGE_BYTES;
    }

    /** @throws IOException if that is no presence map of this version */
    static PresenceMap open(Path path) throws IOException {
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            long size = channel.size();
            if (size >= HEADER && size <= Integer.MAX_VALUE) {
                MappedByteBuffer bytes = channel.map(FileChannel.MapMode.READ_WRITE, 0, size);
                bytes.order(ByteOrder.LITTLE_ENDIAN);
                if (bytes.getLong(0) == MAGIC && bytes.getLong(LENGTH_OFFSET) == size) {
                    return new PresenceMap(bytes);
                }
            }
            throw new IOException("not a presence map of this version: path=" + path + " bytes=" + size);
        }
    }

    private static int statesLength(int blocks) {
        return packed(blocks) / PER_WORD * Integer.BYTES;
    }

    /** Blocks that have their states right in the map: whole words. */
    private static int packed(int blocks) {
        return (blocks + PER_WORD - 1) / PER_WORD * PER_WORD;
    }

    /** Files that the map was made with: the first ones. */
    int listed() {
        return listed;
    }

    /** Those and the ones added since, of which some may have no place yet. */
    int files() {
        return listed + Math.min(room, (int) WORD.getVolatile(bytes, ADDED_OFFSET));
    }

    /** Whether room or pages are used up: files and blocks that come now have no state, and stay. */
    boolean isFull() {
        return (int) WORD.getVolatile(bytes, ADDED_OFFSET) >= room
                || (int) WORD.getVolatile(bytes, TAKEN_OFFSET) >= bytes.getInt(PAGES_OFFSET);
    }

    RelationFile file(int index) {
        int entry = entry(index);
        int forkSegment = bytes.getInt(entry + 8);
        return new RelationFile(
                bytes.getInt(entry),
                bytes.getInt(entry + 4),
                RelationFile.Fork.of(forkSegment >>> 24),
                forkSegment & 0xFF_FFFF);
    }

    /** Blocks that a listed file had when the map was made; 0 for others. */
    int blocks(int index) {
        return bytes.getInt(entry(index) + BLOCKS_OFFSET);
    }

    /** All blocks from here on are local, and have no state. Not less than {@link #blocks}. */
    int extent(int index) {
        for (int slot = PAGES_OF_FILE - 1; slot >= 0; slot--) {
            if (page(index, slot) != 0) {
                return (slot + 1) * PAGE_BLOCKS;
            }
        }
        return packed(blocks(index));
    }

    /** Index of a listed file; negative if it is not listed. */
    int indexOf(RelationFile file) {
        int low = 0;
        int high = listed - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            int order = file(middle).compareTo(file);
            if (order == 0) {
                return middle;
            }
            if (order < 0) {
                low = middle + 1;
            } else {
                high = middle - 1;
            }
        }
        return -1;
    }

    int place(int index) {
        return (int) WORD.getVolatile(bytes, entry(index) + PLACE_OFFSET);
    }

    boolean changePlace(int index, int from, int to) {
        return WORD.compareAndSet(bytes, entry(index) + PLACE_OFFSET, from, to);
    }

    /** To be called before blocks are punched out, after they were claimed. */
    void countEviction(int index) {
        WORD.getAndAdd(bytes, entry(index) + EVICTIONS_OFFSET, 1);
    }

    int state(int index, int block) {
        int word = word(index, block);
        return word < 0 ? NO_STATE : ((int) WORD.getVolatile(bytes, word) >>> shift(block)) & 15;
    }

    /** @return false if the state is not {@code from} */
    boolean change(int index, int block, int from, int to) {
        int word = word(index, block);
        int shift = shift(block);
        while (word >= 0) {
            int old = (int) WORD.getVolatile(bytes, word);
            if (((old >>> shift) & 15) != from) {
                return false;
            }
            if (WORD.compareAndSet(bytes, word, old, (old & ~(15 << shift)) | (to << shift))) {
                return true;
            }
        }
        return false;
    }

    /** Blocks that reads found local, up to some hundreds less for each running process. */
    long hits() {
        return (long) LONG.getVolatile(bytes, HITS_OFFSET);
    }

    private static int entry(int index) {
        return HEADER + ENTRY * index;
    }

    /** Negative if the block has no state. */
    private int word(int index, int block) {
        if (block < packed(blocks(index))) {
            return (int) bytes.getLong(entry(index) + STATES_OFFSET) + block / PER_WORD * Integer.BYTES;
        }
        int page = page(index, block / PAGE_BLOCKS);
        return page == 0 ? -1 : pages + (page - 1) * PAGE_BYTES + block % PAGE_BLOCKS / PER_WORD * Integer.BYTES;
    }

    /** Number of the page, from 1 on; 0 if there is none. */
    private int page(int index, int slot) {
        return (int) WORD.getVolatile(bytes, slots + (index * PAGES_OF_FILE + slot) * Integer.BYTES);
    }

    private static int shift(int block) {
        return block % PER_WORD * STATE_BITS;
    }
}
