package io.spg99.storage.readthrough;

import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Deque;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.SortedMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.ToIntFunction;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The agent of one data directory: fetches what PostgreSQL's processes ask for and writes it into their files.
 *
 * <p>The conversation, over a Unix socket, a connection per process (little endian):
 *
 * <pre>
 * process -> agent   u32 kind, u32 index of the file in the map, u32 first block, u32 number of blocks
 *                    kind 1: they are needed; kind 2: they will be, no answer
 * agent -> process   u32: 0 look at the map again, 1 they cannot be had
 * </pre>
 *
 * <p>A thread of its own takes requests and keeps what is under way. What was fetched is written by the thread that the
 * {@link BlockSource} completes its result on. Nothing is written unless its state was changed from missing to filling
 * before: no process writes to such a block.
 */
public final class ReadThrough implements AutoCloseable {

    /** Largest number of blocks asked for at once: 512 kB. */
    public static final int MOST_BLOCKS = 64;

    private static final Logger LOG = LoggerFactory.getLogger(ReadThrough.class);

    private static final String MAP = "map";
    private static final String SOCKET = "socket";

    private static final int REQUEST = 16;

    /** Read from a connection at once: recovery asks for hundreds of blocks ahead, one by one. */
    private static final int REQUESTS = 256;

    private static final int KIND_NEED = 1;
    private static final int KIND_HINT = 2;
    private static final int STATUS_LOOK_AGAIN = 0;
    private static final int STATUS_UNAVAILABLE = 1;

    /** Blocks under way, 32 MB, beyond which nothing is fetched that nobody waits for. */
    private static final int MOST_AHEAD = 4096;

    /** Fetches at once for {@link #fetch}: the reads of PostgreSQL come first. */
    private static final int BACKGROUND = 4;

    /** A block that was changed here and not used since the eviction last looked. */
    private static final int DIRTY = PresenceMap.READABLE | PresenceMap.DIRTY;

    /** Evicts down to 15/16 of the limit, so that it has not to be done for every block. */
    private static final int EVICTION_SHARE = 16;

    /** A hundredth of a processor at most goes into counting for {@link #recentFigures}. */
    private static final int COUNTING_SHARE = 100;

    private final Path pgdata;
    private final Path shared;
    private final OsUser user;
    private final PresenceMap map;
    private volatile BlockSource source;

    /** Where the source ends, once it has been replaced by a newer one: only that may have blocks that were changed here. */
    private volatile @Nullable Lsn movedTo;

    private final ReadThroughSettings settings;
    private final Selector selector;
    private final ServerSocketChannel server;
    private final Queue<Runnable> tasks = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean evicting = new AtomicBoolean();
    private final AtomicBoolean saidFull = new AtomicBoolean();
    private final AtomicLong sinceEviction = new AtomicLong();
    private final AtomicLong fetched = new AtomicLong();
    private final AtomicLong ahead = new AtomicLong();
    private final AtomicLong evicted = new AtomicLong();
    private final AtomicLong misses = new AtomicLong();
    private final AtomicLong waitedNanos = new AtomicLong();
    private final AtomicLong failed = new AtomicLong();

    // Of the agent's thread alone.
    private final Map<Integer, List<Filling>> fills = new HashMap<>();
    private int blocksUnderWay;
    private boolean sourceFails;
    private boolean foreseeing;

    private volatile boolean closed;

    /** What {@link #recentFigures} goes by; null before its first call. */
    private @Nullable Count lastCount;

    /** Held by who evicts, and who changes the source that says what may be evicted. */
    private final Object evictionLock = new Object();

    /** Of who evicts alone: where it looked last, and its helper, which is started when it is first needed. */
    private int evictionHand;

    private @Nullable HolePunch punch;

    /** How many blocks were in which state, when that was known, and what it took to find out. */
    private record Count(long resident, long dirty, long total, long atNanos, long tookNanos) {}

    /** One request to the source. */
    private static final class Fill {
        /** Those of one file follow each other. */
        final List<Piece> pieces;

        final int count;

        /** Whose blocks these are; null if they come for nobody. */
        final @Nullable Need owner;

        /** The owner, and whoever came later and needs some of them. */
        final List<Need> waiting = new ArrayList<>();

        Fill(List<Piece> pieces, @Nullable Need owner) {
            this.pieces = pieces;
            this.count = pieces.stream().mapToInt(Piece::count).sum();
            this.owner = owner;
        }
    }

    /** Blocks of one file that follow each other. */
    private record Piece(int file, int first, int count) {

        int end() {
            return first + count;
        }

        boolean covers(int block) {
            return block >= first && block < end();
        }
    }

    /** A piece and what it belongs to. */
    private record Filling(Piece piece, Fill fill) {}

    /** Blocks that somebody waits for. */
    private static final class Need {
        final List<Piece> pieces;
        final long startNanos = System.nanoTime();
        /** Completed with true when the blocks may be there, with false when they cannot be had. */
        final CompletableFuture<Boolean> answer = new CompletableFuture<>();

        int pending;

        @Nullable
        Throwable failure;

        /** A request for blocks of somebody else, too, has failed: which of them are to blame is not known. */
        boolean again;

        Need(List<Piece> pieces) {
            this.pieces = pieces;
        }
    }

    private static final class Connection {
        final SocketChannel channel;
        final ByteBuffer requests = ByteBuffer.allocate(REQUESTS * REQUEST).order(ByteOrder.LITTLE_ENDIAN);
        boolean waiting;

        Connection(SocketChannel channel) {
            this.channel = channel;
        }
    }

    private ReadThrough(
            Path pgdata,
            Path shared,
            OsUser user,
            PresenceMap map,
            BlockSource source,
            ReadThroughSettings settings,
            Selector selector,
            ServerSocketChannel server) {
        this.pgdata = pgdata;
        this.shared = shared;
        this.user = user;
        this.map = map;
        this.source = source;
        this.settings = settings;
        this.selector = selector;
        this.server = server;
    }

    /**
     * Makes the presence map of a data directory. Its directories must be there; files in {@code sizes} are made when they
     * are first asked for, but for those that {@link #put} or {@link #adopt} are called with. If a relation has an init fork, that one must be
     * {@link #put} before PostgreSQL starts, and the relation's other forks must not be in {@code sizes}: recovery makes them.
     *
     * @param shared where map and socket will be; must not exist; outside the data directory
     * @param sizes  in blocks, at most a segment's
     */
    public static void prepare(
            Path shared, OsUser user, SortedMap<RelationFile, Integer> sizes, ReadThroughSettings settings)
            throws IOException {
        user.createPrivateDirectory(shared);
        writeMap(shared, user, sizes, settings);
    }

    private static PresenceMap writeMap(
            Path shared, OsUser user, SortedMap<RelationFile, Integer> sizes, ReadThroughSettings settings)
            throws IOException {
        Path file = shared.resolve(MAP);
        PresenceMap map = PresenceMap.create(file, sizes, settings.readLimit());
        user.own(file);
        return map;
    }

    /**
     * Makes the presence map of a data directory and serves it: as {@link #prepare} and {@link #open}, for a {@code shared}
     * that exists and is empty, and a server that may be held already.
     */
    public static ReadThrough create(
            Path pgdata,
            Path shared,
            OsUser user,
            SortedMap<RelationFile, Integer> sizes,
            BlockSource source,
            ReadThroughSettings settings)
            throws IOException {
        return serve(pgdata, shared, user, writeMap(shared, user, sizes, settings), source, settings);
    }

    /**
     * Makes the presence map of a data directory that is whole. It needs no agent; {@link #open} gives it one, which may evict then.
     *
     * @param shared exists and is empty
     * @param sizes  as in {@link #prepare}; all these files are there, as the source has them
     */
    public static void createWhole(
            Path shared, OsUser user, SortedMap<RelationFile, Integer> sizes, ReadThroughSettings settings)
            throws IOException {
        PresenceMap map = writeMap(shared, user, sizes, settings);
        for (int file = 0; file < map.listed(); file++) {
            markAll(map, file, 0, map.blocks(file), PresenceMap.READABLE);
        }
    }

    /**
     * Begins to serve a directory that was prepared, or was served by another agent that is gone.
     *
     * @throws IOException if the map is none, or the socket cannot be made
     */
    public static ReadThrough open(
            Path pgdata, Path shared, OsUser user, BlockSource source, ReadThroughSettings settings)
            throws IOException {
        PresenceMap map = PresenceMap.open(shared.resolve(MAP));
        for (int file = 0; file < map.files(); file++) {
            int extent = map.extent(file);
            for (int block = 0; block < extent; block++) {
                map.change(file, block, PresenceMap.FILLING, PresenceMap.MISSING);
                map.change(file, block, PresenceMap.CHECKING, DIRTY);
            }
        }
        return serve(pgdata, shared, user, map, source, settings);
    }

    private static ReadThrough serve(
            Path pgdata, Path shared, OsUser user, PresenceMap map, BlockSource source, ReadThroughSettings settings)
            throws IOException {
        Path socket = shared.resolve(SOCKET);
        Files.deleteIfExists(socket);
        Selector selector = Selector.open();
        ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            server.bind(UnixDomainSocketAddress.of(socket));
            user.own(socket);
            server.configureBlocking(false);
            server.register(selector, SelectionKey.OP_ACCEPT);
        } catch (IOException e) {
            server.close();
            selector.close();
            throw e;
        }
        ReadThrough agent = new ReadThrough(pgdata, shared, user, map, source, settings, selector, server);
        Thread.ofPlatform().name("readthrough-" + pgdata.getFileName()).daemon().start(agent::run);
        return agent;
    }

    /**
     * Writes blocks that PostgreSQL is going to need; those that are there already stay as they are. Blocks for as long as
     * that takes.
     *
     * @param blocks whole ones
     */
    public void put(RelationFile file, int first, ByteBuffer blocks) throws IOException {
        int index = require(file);
        int count = blocks.remaining() / RelationFile.BLOCK;
        int start = blocks.position();
        for (int i = 0; i < count; i++) {
            if (map.change(index, first + i, PresenceMap.MISSING, PresenceMap.FILLING)) {
                ByteBuffer block = blocks.slice(start + i * RelationFile.BLOCK, RelationFile.BLOCK);
                int outcome = PresenceMap.MISSING;
                try {
                    write(index, first + i, block);
                    outcome = PresenceMap.READABLE;
                } finally {
                    map.change(index, first + i, PresenceMap.FILLING, outcome);
                }
            }
        }
    }

    /**
     * Takes a whole file that somebody put into the data directory, before PostgreSQL starts. Never evicted: it need not be
     * what the source has. One that the map does not list is whole anyway.
     */
    public void adopt(RelationFile file) {
        int index = map.indexOf(file);
        if (index >= 0) {
            markAll(index, 0, map.blocks(index), PresenceMap.READABLE | PresenceMap.DIRTY);
        }
    }

    /** Takes blocks, as the source has them, of a file of the right size that is in the data directory, before PostgreSQL starts. */
    public void present(BlockRange range) {
        markAll(require(range.file()), range.first(), range.count(), PresenceMap.READABLE);
    }

    /** The file is in the data directory, of the right size; its blocks are missing until somebody brings them. */
    public void present(RelationFile file) {
        markAll(require(file), 0, 0, PresenceMap.READABLE);
    }

    private void markAll(int index, int first, int count, int state) {
        markAll(map, index, first, count, state);
    }

    private static void markAll(PresenceMap map, int index, int first, int count, int state) {
        map.changePlace(index, PresenceMap.ABSENT, PresenceMap.HERE);
        for (int block = first; block < first + count; block++) {
            map.change(index, block, PresenceMap.MISSING, state);
        }
    }

    /** Whether the map lists this file. */
    public boolean lists(RelationFile file) {
        return map.indexOf(file) >= 0;
    }

    /** Whether a file that the map lists, and that is there, is not what the source has. */
    public boolean isChanged(RelationFile file) throws IOException {
        int index = require(file);
        return map.place(index) != PresenceMap.HERE
                || hasDirty(index)
                || Files.size(pgdata.resolve(file.path())) != (long) map.blocks(index) * RelationFile.BLOCK;
    }

    /** The files that the map lists and that are not in the data directory: they are what the source has. */
    public List<RelationFile> absent() {
        List<RelationFile> absent = new ArrayList<>();
        for (int file = 0; file < map.listed(); file++) {
            int place = map.place(file);
            if (place == PresenceMap.ABSENT || place == PresenceMap.CREATING) {
                absent.add(map.file(file));
            }
        }
        return absent;
    }

    /**
     * The blocks of a file that may differ from what the source has, of those that the map lists.
     *
     * @return empty if the file is not listed, or its name means another one by now
     */
    public Optional<BitSet> changed(RelationFile file) {
        int index = map.indexOf(file);
        if (index < 0 || map.place(index) != PresenceMap.HERE) {
            return Optional.empty();
        }
        BitSet changed = new BitSet(map.blocks(index));
        for (int block = 0; block < map.blocks(index); block++) {
            changed.set(block, isChanged(map.state(index, block)));
        }
        return Optional.of(changed);
    }

    private static boolean isChanged(int state) {
        return state == PresenceMap.CHECKING
                || ((state & PresenceMap.READABLE) != 0 && (state & (PresenceMap.DIRTY | PresenceMap.CUT)) != 0);
    }

    /**
     * Goes over to a newer state of the same files, for instance the next snapshot: what is missing comes from there from now on,
     * and blocks that were changed here and are there as they are here may be evicted.
     *
     * <p>That a missing block is the same there as it was in the source so far is true because whatever changes a block writes it
     * here. The newer state must be one of this very server's past. And every transaction that was running when that state was
     * behind the server must have ended: blocks that went through redo have lost the command ids by which a transaction tells what
     * it has done itself, and the marks by which VACUUM finds pages of an index that were split meanwhile.
     *
     * @param end   of the newer state: it has no newer block
     * @param sizes of the newer state's files, in blocks; 0 for one that it does not have
     * @return false, and nothing has changed, if the newer state lacks a block that may have to be fetched: of a file that is being
     *     truncated or removed right now. A later state will do
     */
    public boolean moveTo(BlockSource newer, Lsn end, ToIntFunction<RelationFile> sizes) {
        synchronized (evictionLock) {
            for (int file = 0; file < map.files(); file++) {
                // One that is being made has no state yet, and will get none but dirty ones.
                int place = map.place(file);
                boolean mayLack = file < map.listed() ? place != PresenceMap.GONE : place == PresenceMap.HERE;
                if (mayLack && lacks(sizes.applyAsInt(map.file(file)), file)) {
                    return false;
                }
            }
            source = newer;
            movedTo = end;
        }
        sinceEviction.set(settings.cacheLimit() / RelationFile.BLOCK);
        evictIfDue();
        return true;
    }

    private boolean lacks(int size, int file) {
        int extent = map.extent(file);
        for (int block = size; block < extent; block++) {
            if (!isChanged(map.state(file, block))) {
                return true;
            }
        }
        return false;
    }

    /** All blocks of a file that the map lists; empty if it has none. */
    public Optional<BlockRange> all(RelationFile file) {
        int blocks = map.blocks(require(file));
        return blocks == 0 ? Optional.empty() : Optional.of(new BlockRange(file, 0, blocks));
    }

    private int require(RelationFile file) {
        int index = map.indexOf(file);
        if (index < 0) {
            throw new IllegalArgumentException("file is not in the presence map: file=" + file);
        }
        return index;
    }

    private boolean hasDirty(int file) {
        for (int block = 0; block < map.blocks(file); block++) {
            if (isChanged(map.state(file, block))) {
                return true;
            }
        }
        return false;
    }

    /**
     * Fetches everything that is missing: what a server without the library needs before it starts.
     *
     * @return fails if something could not be had in time
     */
    public CompletionStage<Void> hydrate() {
        List<BlockRange> all = new ArrayList<>();
        for (int file = 0; file < map.listed(); file++) {
            try {
                materialise(file);
            } catch (IOException e) {
                return CompletableFuture.failedFuture(e);
            }
            if (map.blocks(file) > 0) {
                all.add(new BlockRange(map.file(file), 0, map.blocks(file)));
            }
        }
        return fetch(all);
    }

    /**
     * Fetches what is missing of these blocks, in this order, a few at a time. Files that are not there, or shorter, are no error.
     *
     * @return completes when all are there; fails at the first that could not be had in time, and fetches no more then
     */
    public CompletionStage<Void> fetch(List<BlockRange> ranges) {
        Deque<Need> needs = new ArrayDeque<>();
        List<Piece> pieces = new ArrayList<>();
        int count = 0;
        for (BlockRange range : ranges) {
            int index = map.indexOf(range.file());
            int end = index < 0 ? 0 : Math.min(map.blocks(index), range.first() + range.count());
            int first = range.first();
            while (first < end) {
                int part = Math.min(MOST_BLOCKS - count, end - first);
                pieces.add(new Piece(index, first, part));
                first += part;
                count += part;
                if (count == MOST_BLOCKS) {
                    needs.add(new Need(pieces));
                    pieces = new ArrayList<>();
                    count = 0;
                }
            }
        }
        if (count > 0) {
            needs.add(new Need(pieces));
        }
        CompletableFuture<Void> done = new CompletableFuture<>();
        List<CompletableFuture<Void>> lanes = new ArrayList<>();
        for (int i = 0; i < BACKGROUND; i++) {
            CompletableFuture<Void> lane = new CompletableFuture<>();
            lanes.add(lane);
            submit(() -> fetchNext(needs, lane));
        }
        lanes.forEach(lane -> lane.whenComplete((nothing, e) -> {
            if (e != null) {
                done.completeExceptionally(e);
            }
        }));
        CompletableFuture.allOf(lanes.toArray(CompletableFuture[]::new)).thenRun(() -> done.complete(null));
        return done.minimalCompletionStage();
    }

    /**
     * As {@link #fetch}, for all that recovery is going to read and ask for ahead: what it asks for ahead meanwhile is not fetched for
     * that, as it comes anyhow, and sooner so.
     */
    public CompletionStage<Void> foresee(List<BlockRange> ranges) {
        submit(() -> foreseeing = true);
        return fetch(ranges).whenComplete((nothing, e) -> submit(() -> foreseeing = false));
    }

    /** On the agent's thread. */
    private void fetchNext(Deque<Need> needs, CompletableFuture<Void> lane) {
        Need need = needs.poll();
        if (need == null) {
            lane.complete(null);
            return;
        }
        need.answer.whenComplete((there, e) -> {
            if (e != null || !there) {
                needs.clear();
                lane.completeExceptionally(new IOException("blocks cannot be had: " + text(need.pieces), need.failure));
            } else {
                // Not by recursion: there may be thousands of blocks that are there already.
                submit(() -> fetchNext(needs, lane));
            }
        });
        process(need);
    }

    /**
     * What has been read or written and is still here, in the order of files: what the next generation will need soon.
     *
     * @param most number of blocks
     */
    public List<BlockRange> used(int most) {
        List<BlockRange> ranges = new ArrayList<>();
        int left = most;
        for (int file = 0; file < map.files() && left > 0; file++) {
            if (map.place(file) == PresenceMap.HERE) {
                left = usedOf(file, left, ranges);
            }
        }
        return ranges;
    }

    private int usedOf(int file, int most, List<BlockRange> ranges) {
        int left = most;
        int blocks = map.extent(file);
        int first = 0;
        while (first < blocks && left > 0) {
            int end = first;
            while (end < blocks && end - first < left && isUsed(map.state(file, end))) {
                end++;
            }
            if (end > first) {
                ranges.add(new BlockRange(map.file(file), first, end - first));
                left -= end - first;
            }
            first = end + 1;
        }
        return left;
    }

    private static boolean isUsed(int state) {
        int used = PresenceMap.READABLE | PresenceMap.USED;
        return (state & used) == used && (state & PresenceMap.CUT) == 0;
    }

    /** Looks at all states: some milliseconds for each gigabyte of the database. */
    public ReadThroughFigures figures() {
        return figures(count());
    }

    /** As {@link #figures}, at a small part of the cost: blocks are counted again only when the last count was long ago. */
    public synchronized ReadThroughFigures recentFigures() {
        long now = System.nanoTime();
        Count last = lastCount;
        if (last == null || now - last.atNanos > COUNTING_SHARE * last.tookNanos) {
            last = count();
            lastCount = last;
        }
        return figures(last);
    }

    private Count count() {
        if (map.isFull() && saidFull.compareAndSet(false, true)) {
            LOG.warn("presence map is full, what is written now stays on the disk until the end: pgdata={}", pgdata);
        }
        long began = System.nanoTime();
        long resident = 0;
        long dirty = 0;
        long total = 0;
        for (int file = 0; file < map.files(); file++) {
            total += map.blocks(file);
            int extent = map.extent(file);
            for (int block = 0; block < extent; block++) {
                int state = map.state(file, block);
                if ((state & PresenceMap.READABLE) != 0 && (state & PresenceMap.CUT) == 0) {
                    resident++;
                    dirty += (state & PresenceMap.DIRTY) == 0 ? 0 : 1;
                }
            }
        }
        long ended = System.nanoTime();
        return new Count(resident, dirty, total, ended, ended - began);
    }

    private ReadThroughFigures figures(Count count) {
        return new ReadThroughFigures(
                map.hits(),
                misses.get(),
                Duration.ofNanos(waitedNanos.get()),
                fetched.get(),
                ahead.get(),
                failed.get(),
                evicted.get(),
                count.resident,
                count.dirty,
                count.total);
    }

    // Requests

    private void run() {
        try {
            while (!closed) {
                selector.select();
                for (Runnable task = tasks.poll(); task != null; task = tasks.poll()) {
                    task.run();
                }
                Iterator<SelectionKey> keys = selector.selectedKeys().iterator();
                while (keys.hasNext()) {
                    SelectionKey key = keys.next();
                    keys.remove();
                    serve(key);
                }
            }
        } catch (IOException | RuntimeException e) {
            LOG.error("read-through agent failed: pgdata={}", pgdata, e);
        } finally {
            closeAll();
        }
    }

    private void serve(SelectionKey key) throws IOException {
        if (!key.isValid()) {
            return;
        }
        if (key.attachment() instanceof Connection connection) {
            try {
                receive(connection);
            } catch (IOException e) {
                LOG.debug("a process of PostgreSQL is gone: pgdata={}", pgdata, e);
                connection.channel.close();
            }
            return;
        }
        try {
            SocketChannel channel = server.accept();
            if (channel != null) {
                channel.configureBlocking(false);
                channel.register(selector, SelectionKey.OP_READ, new Connection(channel));
            }
        } catch (IOException e) {
            // There may be no file descriptors left. It waits, as others do that ask for one.
            LOG.warn("a process of PostgreSQL is not accepted, trying again: pgdata={}", pgdata, e);
            key.interestOps(0);
            later(() -> key.interestOps(SelectionKey.OP_ACCEPT));
        }
    }

    private void receive(Connection connection) throws IOException {
        ByteBuffer requests = connection.requests;
        if (connection.channel.read(requests) < 0) {
            connection.channel.close();
            return;
        }
        requests.flip();
        while (requests.remaining() >= REQUEST) {
            int kind = requests.getInt();
            int file = requests.getInt();
            int first = requests.getInt();
            int count = requests.getInt();
            boolean valid = file >= 0
                    && file < map.files()
                    && first >= 0
                    && count > 0
                    && count <= PresenceMap.SEGMENT_BLOCKS
                    && first <= PresenceMap.SEGMENT_BLOCKS - count;
            if (valid && kind == KIND_HINT) {
                hint(file, first, count);
            } else if (valid && kind == KIND_NEED && !connection.waiting) {
                need(connection, file, first, count);
            } else {
                throw new IOException("not a request: kind=" + kind + " file=" + file + " first=" + first + " count="
                        + count + " waiting=" + connection.waiting);
            }
        }
        requests.compact();
    }

    /**
     * Recovery asks so, block by block, and changes many blocks of the same tables: what comes with one of them is likely to be needed, and
     * would have to be decompressed again then.
     */
    private void hint(int file, int first, int count) {
        if (count > 1) {
            startFills(List.of(new Piece(file, first, count)), null);
        } else if (!foreseeing && map.state(file, first) == PresenceMap.MISSING && blocksUnderWay < MOST_AHEAD) {
            List<Piece> claimed = new ArrayList<>();
            for (BlockRange range : source.together(map.file(file), first)) {
                int index = map.indexOf(range.file());
                // Nobody has asked for the others yet: it would take longer to make them than to fetch a block.
                if (index >= 0 && (index == file || map.place(index) == PresenceMap.HERE)) {
                    claim(index, range.first(), Math.min(map.blocks(index), range.first() + range.count()), claimed);
                }
            }
            if (!claimed.isEmpty()) {
                start(new Fill(claimed, null));
            }
        }
    }

    /** Claims what is missing of these blocks. */
    private void claim(int file, int from, int to, List<Piece> claimed) {
        int block = from;
        while (block < to) {
            int end = endOfClaim(file, block, to);
            if (end > block) {
                claimed.add(new Piece(file, block, end - block));
            }
            block = end + 1;
        }
    }

    private int endOfClaim(int file, int first, int limit) {
        int end = first;
        while (end < limit && map.change(file, end, PresenceMap.MISSING, PresenceMap.FILLING)) {
            end++;
        }
        return end;
    }

    private void need(Connection connection, int file, int first, int count) {
        Need need = new Need(List.of(new Piece(file, first, count)));
        connection.waiting = true;
        need.answer.thenAccept(there -> {
            connection.waiting = false;
            waitedNanos.addAndGet(System.nanoTime() - need.startNanos);
            if (!there) {
                failed.incrementAndGet();
            }
            ByteBuffer status = ByteBuffer.allocate(Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN);
            status.putInt(there ? STATUS_LOOK_AGAIN : STATUS_UNAVAILABLE).flip();
            try {
                connection.channel.write(status);
                if (status.hasRemaining()) {
                    connection.channel.close(); // it does not read its answers
                }
            } catch (IOException e) {
                LOG.debug("a process of PostgreSQL did not wait: pgdata={}", pgdata, e);
            }
        });
        for (int block = first; block < first + count; block++) {
            if (map.state(file, block) <= PresenceMap.FILLING) {
                misses.incrementAndGet();
            }
        }
        process(need);
    }

    private void process(Need need) {
        need.pending = 0;
        need.failure = null;
        need.again = false;
        startFills(need.pieces, need);
        if (need.pending == 0) {
            need.answer.complete(true);
        }
    }

    /** Fetches what is missing; without a need, only as much as may be under way. */
    private void startFills(List<Piece> wanted, @Nullable Need need) {
        List<Piece> claimed = new ArrayList<>();
        int count = 0;
        for (Piece piece : wanted) {
            int block = piece.first;
            while (block < piece.end()) {
                int state = map.state(piece.file, block);
                if (state == PresenceMap.FILLING) {
                    Filling running = need == null ? null : fillingOf(piece.file, block);
                    if (running != null && need != null) {
                        need.pending++;
                        running.fill.waiting.add(need);
                    }
                    // One that nobody fetches is being evicted: the process looks again until it is missing.
                    block = running == null ? block + 1 : running.piece.end();
                } else if (state != PresenceMap.MISSING) {
                    block++;
                } else if (need == null && blocksUnderWay + count >= MOST_AHEAD) {
                    block = piece.end();
                } else {
                    int end = endOfClaim(piece.file, block, Math.min(piece.end(), block + MOST_BLOCKS - count));
                    if (end > block) { // else somebody was faster: look again
                        claimed.add(new Piece(piece.file, block, end - block));
                        count += end - block;
                        block = end;
                    }
                    if (count == MOST_BLOCKS) {
                        start(new Fill(claimed, need));
                        claimed = new ArrayList<>();
                        count = 0;
                    }
                }
            }
        }
        if (!claimed.isEmpty()) {
            start(new Fill(claimed, need));
        }
    }

    private @Nullable Filling fillingOf(int file, int block) {
        for (Filling filling : fills.getOrDefault(file, List.of())) {
            if (filling.piece.covers(block)) {
                return filling;
            }
        }
        return null;
    }

    private void start(Fill fill) {
        int count = fill.count;
        Need need = fill.owner;
        if (need != null) {
            need.pending++;
            fill.waiting.add(need);
        } else {
            ahead.addAndGet(count);
        }
        List<BlockRange> ranges = new ArrayList<>(fill.pieces.size());
        for (Piece piece : fill.pieces) {
            fills.computeIfAbsent(piece.file, key -> new ArrayList<>(1)).add(new Filling(piece, fill));
            ranges.add(new BlockRange(map.file(piece.file), piece.first, piece.count));
        }
        blocksUnderWay += count;
        CompletionStage<ByteBuffer> bytes;
        try {
            bytes = ranges.size() == 1
                    ? source.read(ranges.getFirst().file(), ranges.getFirst().first(), count)
                    : source.read(ranges);
        } catch (RuntimeException e) {
            bytes = CompletableFuture.failedFuture(e);
        }
        bytes.toCompletableFuture()
                .copy()
                .orTimeout(settings.attemptLimit().toMillis(), TimeUnit.MILLISECONDS)
                .thenAccept(content -> accept(fill, content))
                .whenComplete((nothing, e) -> {
                    int outcome = e == null ? PresenceMap.READABLE : PresenceMap.MISSING;
                    for (Piece piece : fill.pieces) {
                        for (int block = piece.first; block < piece.end(); block++) {
                            map.change(piece.file, block, PresenceMap.FILLING, outcome);
                        }
                    }
                    submit(() -> onFilled(fill, e));
                    evictIfDue();
                });
    }

    private void accept(Fill fill, ByteBuffer content) {
        int expected = fill.count * RelationFile.BLOCK;
        if (content.remaining() != expected) {
            throw new IllegalStateException(
                    "source gave other blocks: expectedBytes=" + expected + " actual=" + content.remaining());
        }
        try {
            write(fill.pieces, content);
        } catch (IOException e) {
            throw new CompletionException(e);
        }
        fetched.addAndGet(fill.count);
        sinceEviction.addAndGet(fill.count);
    }

    private void onFilled(Fill fill, @Nullable Throwable failure) {
        blocksUnderWay -= fill.count;
        int last = -1;
        for (Piece piece : fill.pieces) {
            if (piece.file != last) {
                last = piece.file;
                fills.computeIfPresent(last, (file, others) -> {
                    others.removeIf(filling -> filling.fill == fill);
                    return others.isEmpty() ? null : others;
                });
            }
        }
        report(fill, failure);
        for (Need need : fill.waiting) {
            need.pending--;
            if (failure != null && need == fill.owner) {
                need.failure = failure;
            } else if (failure != null) {
                need.again = true;
            }
            if (need.pending == 0) {
                settle(need);
            }
        }
    }

    /** Says it once, and once more when it is over. */
    private void report(Fill fill, @Nullable Throwable failure) {
        if (failure != null && !sourceFails) {
            LOG.warn("blocks could not be fetched, trying again: pgdata={} {}", pgdata, text(fill.pieces), failure);
        } else if (failure == null && sourceFails) {
            LOG.info("blocks are fetched again: pgdata={}", pgdata);
        }
        sourceFails = failure != null;
    }

    private void settle(Need need) {
        Throwable failure = need.failure;
        boolean hopeless = failure != null && isUnreadable(failure);
        long waited = System.nanoTime() - need.startNanos;
        if (failure == null && need.again && !closed) {
            process(need);
        } else if (failure == null) {
            need.answer.complete(true);
        } else if (hopeless || waited >= settings.readLimit().toNanos() || closed) {
            LOG.error(
                    "a read fails, its blocks cannot be had: pgdata={} {} waited={}ms",
                    pgdata,
                    text(need.pieces),
                    TimeUnit.NANOSECONDS.toMillis(waited),
                    failure);
            need.answer.complete(false);
        } else {
            later(() -> process(need));
        }
    }

    /** The first of them, and how many there are. */
    private String text(List<Piece> pieces) {
        Piece first = pieces.getFirst();
        int count = pieces.stream().mapToInt(Piece::count).sum();
        return "file=" + map.file(first.file).path() + " first=" + first.first + " count=" + count;
    }

    /** On the agent's thread, after a pause. */
    private void later(Runnable task) {
        // Not by the common pool: it has one thread on a small machine, and others may block that.
        CompletableFuture.delayedExecutor(settings.retryPause().toMillis(), TimeUnit.MILLISECONDS, Runnable::run)
                .execute(() -> submit(task));
    }

    private static boolean isUnreadable(Throwable failure) {
        for (Throwable e = failure; e != null; e = e.getCause()) {
            if (e instanceof UnreadableBlocksException) {
                return true;
            }
        }
        return false;
    }

    private void submit(Runnable task) {
        tasks.add(task);
        selector.wakeup();
    }

    // Files

    private void write(int file, int first, ByteBuffer content) throws IOException {
        write(List.of(new Piece(file, first, content.remaining() / RelationFile.BLOCK)), content);
    }

    private void write(List<Piece> pieces, ByteBuffer content) throws IOException {
        Map<Integer, FileChannel> open = new HashMap<>();
        try {
            for (Piece piece : pieces) {
                FileChannel channel = open.get(piece.file);
                if (channel == null) {
                    materialise(piece.file);
                    Path path = pgdata.resolve(map.file(piece.file).path());
                    channel = FileChannel.open(path, StandardOpenOption.WRITE);
                    open.put(piece.file, channel);
                }
                int length = piece.count * RelationFile.BLOCK;
                long position = (long) piece.first * RelationFile.BLOCK;
                ByteBuffer part = content.slice(content.position(), length);
                while (part.hasRemaining()) {
                    position += channel.write(part, position);
                }
                content.position(content.position() + length);
            }
        } finally {
            for (FileChannel channel : open.values()) {
                channel.close();
            }
        }
    }

    /** Makes the sparse file unless it is there, or somebody is making it. */
    private void materialise(int file) throws IOException {
        if (!map.changePlace(file, PresenceMap.ABSENT, PresenceMap.CREATING)) {
            return;
        }
        Path path = pgdata.resolve(map.file(file).path());
        int outcome = PresenceMap.ABSENT;
        try {
            Files.createFile(path, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
            user.own(path);
            try (RandomAccessFile sparse = new RandomAccessFile(path.toFile(), "rw")) {
                sparse.setLength((long) map.blocks(file) * RelationFile.BLOCK);
            }
            outcome = PresenceMap.HERE;
        } finally {
            map.changePlace(file, PresenceMap.CREATING, outcome);
        }
    }

    // Eviction

    private void evictIfDue() {
        boolean due = sinceEviction.get() > settings.cacheLimit() / RelationFile.BLOCK / EVICTION_SHARE;
        if (due && !closed && evicting.compareAndSet(false, true)) {
            Thread.ofPlatform()
                    .name("readthrough-evict-" + pgdata.getFileName())
                    .daemon()
                    .start(this::evictToLimit);
        }
    }

    private void evictToLimit() {
        boolean more = false;
        try {
            sinceEviction.set(0);
            long limit = settings.cacheLimit() / RelationFile.BLOCK;
            long excess = figures().residentBlocks() - (limit - limit / EVICTION_SHARE);
            more = excess <= 0 || evict(excess) > 0;
        } catch (IOException e) {
            LOG.warn("nothing could be evicted: pgdata={}", pgdata, e);
        } finally {
            evicting.set(false);
        }
        if (more) {
            evictIfDue(); // what came meanwhile
        }
    }

    /**
     * Gives back the disk space of blocks that the source has as they are, those first that were not read for longest. What was
     * changed here the source may have since {@link #moveTo}.
     * Blocks for as long as that takes.
     *
     * @return how many: fewer than {@code blocks} if there are no more
     * @throws IOException if the program that does it was not built, or the file system cannot
     */
    public long evict(long blocks) throws IOException {
        synchronized (evictionLock) {
            HolePunch with = punch;
            if (with == null) {
                Optional<HolePunch> started = HolePunch.start(pgdata, shared);
                with = started.orElseThrow(
                        () -> new IOException("the program that gives disk space back was not built"));
                punch = with;
            }
            long done = 0;
            // Twice round: the first look at a block that was used only says that it must be used again to stay.
            for (int seen = 0; seen < 2 * map.files() + 1 && done < blocks && !closed; seen++) {
                done += evictFrom(evictionHand, blocks - done, with);
                if (done < blocks) {
                    evictionHand = (evictionHand + 1) % Math.max(1, map.files());
                }
            }
            evicted.addAndGet(done);
            return done;
        }
    }

    private long evictFrom(int file, long most, HolePunch with) throws IOException {
        if (file >= map.files() || map.place(file) != PresenceMap.HERE) {
            return 0;
        }
        Lsn sourceEnd = movedTo;
        int extent = map.extent(file);
        long done = 0;
        int block = 0;
        while (block < extent && done < most) {
            int end = block;
            while (end < extent
                    && done + end - block < most
                    && map.change(file, end, PresenceMap.READABLE, PresenceMap.FILLING)) {
                end++;
            }
            if (end > block) {
                punchOut(file, block, end, with);
                done += end - block;
            } else if (sourceEnd != null && map.state(file, block) == DIRTY && mayBeElsewhere(file)) {
                end = endOfDirty(file, block, extent, (int) Math.min(most - done, MOST_BLOCKS));
                done += evictChanged(file, block, end, sourceEnd, with);
            } else {
                map.change(file, end, PresenceMap.READABLE | PresenceMap.USED, PresenceMap.READABLE);
                map.change(file, end, DIRTY | PresenceMap.USED, DIRTY);
                end++;
            }
            block = end;
        }
        return done;
    }

    /**
     * Free space maps and visibility maps are changed without a new LSN; and so are sequences, which have one block each, see {@link
     * #evictChanged}. All of them are small.
     */
    private boolean mayBeElsewhere(int file) {
        return map.file(file).fork() == RelationFile.Fork.MAIN;
    }

    private int endOfDirty(int file, int first, int extent, int most) {
        int end = first;
        while (end < extent && end - first < most && map.state(file, end) == DIRTY) {
            end++;
        }
        return end;
    }

    /**
     * Evicts those blocks that the source has as they are here. Nobody waits for the source: blocks are claimed when its copies are
     * there, and compared then. The claim of a block that is not known to be there too is another one, after which it is what it was.
     */
    private long evictChanged(int file, int first, int end, Lsn sourceEnd, HolePunch with) throws IOException {
        byte[] ours = new byte[RelationFile.BLOCK];
        long done = 0;
        try (FileChannel channel =
                FileChannel.open(pgdata.resolve(map.file(file).path()), StandardOpenOption.READ)) {
            if (channel.size() <= RelationFile.BLOCK) {
                return 0;
            }
            Optional<byte[]> theirs = fromSource(file, first, oldEnough(channel, first, end, sourceEnd));
            if (theirs.isEmpty()) {
                return 0;
            }
            int known = first + theirs.get().length / RelationFile.BLOCK;
            int next = first;
            while (next < known) {
                int claimed = next;
                while (claimed < known && claimIfSame(file, claimed, channel, ours, theirs.get(), first)) {
                    claimed++;
                }
                if (claimed > next) {
                    punchOut(file, next, claimed, with);
                    done += claimed - next;
                }
                next = claimed + 1;
            }
        } catch (NoSuchFileException e) {
            LOG.debug("file was removed meanwhile: file={}", map.file(file), e);
        }
        return done;
    }

    /** End of the blocks that the source can have as they are here; {@code first} if there is none. */
    private static int oldEnough(FileChannel channel, int first, int end, Lsn sourceEnd) throws IOException {
        byte[] header = new byte[PageVersion.LSN_END];
        int last = first;
        for (int block = first; block < end; block++) {
            if (readAt(channel, (long) block * RelationFile.BLOCK, header)
                    && !PageVersion.lsn(header, 0).isAfter(sourceEnd)) {
                last = block + 1;
            }
        }
        return last;
    }

    private boolean claimIfSame(int file, int block, FileChannel channel, byte[] ours, byte[] theirs, int theirFirst)
            throws IOException {
        if (!map.change(file, block, DIRTY, PresenceMap.CHECKING)) {
            return false;
        }
        int outcome = DIRTY;
        try {
            if (readAt(channel, (long) block * RelationFile.BLOCK, ours)
                    && PageVersion.same(ours, 0, theirs, (block - theirFirst) * RelationFile.BLOCK)) {
                outcome = PresenceMap.FILLING;
            }
        } finally {
            map.change(file, block, PresenceMap.CHECKING, outcome);
        }
        return outcome == PresenceMap.FILLING;
    }

    /** Empty if the source does not have all of them: the file has grown since. */
    private Optional<byte[]> fromSource(int file, int first, int end) throws IOException {
        if (end == first) {
            return Optional.empty();
        }
        try {
            ByteBuffer bytes = source.read(map.file(file), first, end - first)
                    .toCompletableFuture()
                    .get(settings.attemptLimit().toMillis(), TimeUnit.MILLISECONDS);
            byte[] blocks = new byte[bytes.remaining()];
            bytes.get(blocks);
            return blocks.length == (end - first) * RelationFile.BLOCK ? Optional.of(blocks) : Optional.empty();
        } catch (ExecutionException e) {
            LOG.debug("changed blocks are not in the source: file={} first={}", map.file(file), first, e);
            return Optional.empty();
        } catch (TimeoutException e) {
            throw new IOException("source does not answer: file=" + map.file(file), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }

    /** False if the file ends before. */
    private static boolean readAt(FileChannel channel, long position, byte[] into) throws IOException {
        ByteBuffer buffer = ByteBuffer.wrap(into);
        while (buffer.hasRemaining()) {
            if (channel.read(buffer, position + buffer.position()) < 0) {
                return false;
            }
        }
        return true;
    }

    private void punchOut(int file, int first, int end, HolePunch with) throws IOException {
        map.countEviction(file);
        try {
            with.punch(
                    map.file(file).path(),
                    (long) first * RelationFile.BLOCK,
                    (long) (end - first) * RelationFile.BLOCK);
        } catch (IOException e) {
            // It may have ended: the next eviction starts another.
            punch = null;
            close(with, e);
            throw e;
        } finally {
            // Also if it failed: nobody knows what has been punched out by then.
            for (int block = first; block < end; block++) {
                map.change(file, block, PresenceMap.FILLING, PresenceMap.MISSING);
            }
        }
    }

    private static void close(HolePunch failed, IOException reason) {
        try {
            failed.close();
        } catch (IOException e) {
            reason.addSuppressed(e);
        }
    }

    /** Stops serving; reads that need something wait for another agent then. Files stay. Does not block. */
    @Override
    public void close() {
        closed = true;
        selector.wakeup();
    }

    private void closeAll() {
        try {
            for (SelectionKey key : selector.keys()) {
                key.channel().close();
            }
            selector.close();
            HolePunch running = punch;
            if (running != null) {
                running.close();
            }
        } catch (IOException e) {
            LOG.warn("read-through agent could not close everything: pgdata={}", pgdata, e);
        }
    }
}
