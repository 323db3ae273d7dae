package io.spg99.compute.image;

import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import io.spg99.storage.file.FileTree;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PgWalDirectory;
import io.spg99.storage.readthrough.BlockRange;
import io.spg99.storage.readthrough.BlockSource;
import io.spg99.storage.readthrough.ReadThrough;
import io.spg99.storage.readthrough.ReadThroughFigures;
import io.spg99.storage.readthrough.ReadThroughLibrary;
import io.spg99.storage.readthrough.ReadThroughSettings;
import io.spg99.storage.readthrough.RelationFile;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.snapshot.DataDirectory;
import io.spg99.storage.snapshot.Manifest;
import io.spg99.storage.snapshot.RecoveryReadAhead;
import io.spg99.storage.snapshot.SnapshotBlocks;
import io.spg99.storage.snapshot.SnapshotReader;
import io.spg99.storage.snapshot.SnapshotStore;
import io.spg99.storage.snapshot.SoftBasebackup;
import io.spg99.storage.socket.UnixSocket;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The data directories of one node that are read through: of each one where its map and socket are, the agent that serves it,
 * and what is remembered of it.
 *
 * <pre>
 * &lt;place&gt;/&lt;random&gt;                     map and socket of one directory; in /tmp if that is too long for a socket's name
 * &lt;directory&gt;/spg99_readthrough         says where: a directory is renamed between the start of its server and its use
 * </pre>
 */
public final class ReadThroughCaches implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(ReadThroughCaches.class);

    private static final String RECORD = "spg99_readthrough";

    /** Reads of object storage at once. */
    private static final int THREADS = 16;

    /** A start is over by then: what is done now does not compete with it. */
    private static final Duration AFTER_START = Duration.ofSeconds(2);

    /** Of what a start and its first connections read; 8 MB. */
    private static final int MOST_AT_START = 1024;

    /** Of what was in use when a generation ended; 64 MB, or half the cache. */
    private static final int MOST_HOT = 8192;

    /** For the free space maps that an orderly end leaves: few and small. */
    private static final Duration WHOLE_LIMIT = Duration.ofSeconds(5);

    private final ReadThroughLibrary library;
    private final Path place;
    private final OsUser user;
    private final ReadThroughSettings settings;
    private final SecureRandom random = new SecureRandom();
    private final Map<Path, Cache> caches = new ConcurrentHashMap<>();
    private final Timer fetches;

    /** Directories that are whole and whose servers do not serve yet. */
    private final Map<Path, Whole> wholes = new ConcurrentHashMap<>();

    /** Of the directories that have ended: what is counted never falls. */
    private ReadThroughFigures past = ReadThroughFigures.NONE;

    /** Its queue is bounded by what the agents have under way. */
    private final ScheduledThreadPoolExecutor threads = new ScheduledThreadPoolExecutor(
            THREADS, task -> Thread.ofPlatform().name("read-through").daemon().unstarted(task));

    /** One directory's. */
    private static final class Cache {
        final ReadThrough agent;
        final SnapshotStore store;
        final HotBlocks hot;
        final int generation;
        final long limit;

        /** What is read; changed under this object's lock, with what is said of it in object storage. */
        volatile SnapshotReader snapshot;

        /**
         * A newer snapshot that was heard of, held, and the transactions that have to end before it is read; changed by one thread,
         * under this object's lock.
         */
        @Nullable
        Awaited awaited;

        /** What the last generation read; set before {@link #atStart} is. */
        volatile List<BlockRange> inherited = List.of();

        /** How often it was remembered what is hot. */
        final AtomicInteger remembered = new AtomicInteger();

        /** What this one's start has read; null until it is over. */
        volatile @Nullable List<BlockRange> atStart;

        Cache(
                ReadThrough agent,
                SnapshotStore store,
                HotBlocks hot,
                SnapshotReader snapshot,
                int generation,
                long limit) {
            this.agent = agent;
            this.store = store;
            this.hot = hot;
            this.snapshot = snapshot;
            this.generation = generation;
            this.limit = limit;
        }
    }

    /** What a directory holds. */
    interface Snapshot {
        /** Blocks. */
        SnapshotReader open() throws IOException;
    }

    private record Whole(SnapshotStore store, HotBlocks hot, Snapshot snapshot, int generation, long cacheLimit) {}

    private record Awaited(Manifest snapshot, Set<String> transactions) {}

    /**
     * @param libraries where the library is put; PostgreSQL's user must be able to reach it, and {@code place}
     * @param place     for maps and sockets; made when needed
     * @param settings  the limit of the cache is each directory's own
     * @return empty without a C compiler or outside Linux, which is logged: everything is fetched before a start then
     */
    public static Optional<ReadThroughCaches> open(
            Path libraries, Path place, OsUser user, ReadThroughSettings settings, MeterRegistry meters)
            throws IOException {
        Optional<ReadThroughLibrary> library = ReadThroughLibrary.install(libraries);
        if (library.isEmpty()) {
            LOG.warn(
                    "running without read-through, for its library was not built: everything is fetched before a start;"
                            + " install a C compiler (on Linux) and build again");
        }
        return library.map(found -> new ReadThroughCaches(found, place.toAbsolutePath(), user, settings, meters));
    }

    private ReadThroughCaches(
            ReadThroughLibrary library, Path place, OsUser user, ReadThroughSettings settings, MeterRegistry meters) {
        this.library = library;
        this.place = place;
        this.user = user;
        this.settings = settings;
        this.fetches = ReadThroughMetrics.register(this, meters);
        threads.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
        // A directory may be given up after the end: it is removed all the same, and nothing of it is remembered.
        threads.setRejectedExecutionHandler(new ThreadPoolExecutor.DiscardPolicy());
    }

    /** Makes a directory ready for a server that is started before anybody knows what it will read. */
    void layOut(Path directory) throws IOException {
        Path shared = place.resolve(Long.toHexString(random.nextLong()));
        if (UnixSocket.fits(shared.resolve("socket"))) {
            user.createPrivateDirectory(shared);
        } else {
            shared = user.createShortPrivateDirectory();
        }
        user.record(directory.resolve(RECORD), shared);
    }

    /** What a server over a directory that was laid out must have in its environment. */
    Map<String, String> environment(Path directory) throws IOException {
        return library.environment(requireShared(directory));
    }

    private static Optional<Path> shared(Path directory) throws IOException {
        return OsUser.recorded(directory.resolve(RECORD));
    }

    private static Path requireShared(Path directory) throws IOException {
        return shared(directory)
                .orElseThrow(() -> new IOException("directory was not laid out: directory=" + directory));
    }

    /**
     * {@code pgdata} is whole. What a server makes of it is looked after once it serves.
     *
     * @param snapshot  what it holds: its base image, if there is no snapshot yet
     * @param sizes     of its files that the base image does not have as they are, in blocks
     */
    void startWhole(
            SnapshotStore store,
            ObjectStore objects,
            Snapshot snapshot,
            TimelineBase base,
            int generation,
            long cacheLimit,
            SortedMap<RelationFile, Integer> sizes,
            Path pgdata)
            throws IOException {
        ReadThrough.createWhole(requireShared(pgdata), user, sizes, settings);
        wholes.put(pgdata, new Whole(store, new HotBlocks(objects, base.timeline()), snapshot, generation, cacheLimit));
    }

    private void serveWhole(Path pgdata) {
        try {
            Optional<Cache> serving = openWhole(pgdata);
            if (serving.isPresent()) {
                startIsOver(serving.get());
                hold(pgdata, serving.get());
            }
        } catch (IOException e) {
            LOG.warn("nothing will be evicted: pgdata={}", pgdata, e);
        }
    }

    private synchronized Optional<Cache> openWhole(Path pgdata) throws IOException {
        Whole whole = wholes.remove(pgdata);
        if (whole == null) {
            return Optional.empty();
        }
        SnapshotReader snapshot = whole.snapshot.open();
        ReadThrough agent = ReadThrough.open(
                pgdata,
                requireShared(pgdata),
                user,
                timed(new SnapshotBlocks(snapshot, threads)),
                settings.withCacheLimit(whole.cacheLimit));
        Cache cache = new Cache(agent, whole.store, whole.hot, snapshot, whole.generation, whole.cacheLimit);
        caches.put(pgdata, cache);
        return Optional.of(cache);
    }

    /**
     * Makes {@code pgdata} hold what a server needs to start on a snapshot, and begins to serve the rest.
     *
     * @param cacheLimit in bytes
     * @param image      what {@code pgdata} holds
     */
    void start(
            SnapshotStore store,
            ObjectStore objects,
            SnapshotReader snapshot,
            TimelineBase base,
            int generation,
            long cacheLimit,
            DataDirectory.Content image,
            Path pgdata)
            throws IOException {
        SoftBasebackup laid = SoftBasebackup.lay(snapshot, pgdata, image, user);
        ReadThrough agent = ReadThrough.create(
                pgdata,
                requireShared(pgdata),
                user,
                laid.sizes(),
                timed(new SnapshotBlocks(snapshot, threads)),
                settings.withCacheLimit(cacheLimit));
        laid.tell(agent);
        Cache cache =
                new Cache(agent, store, new HotBlocks(objects, base.timeline()), snapshot, generation, cacheLimit);
        caches.put(pgdata, cache);
        threads.execute(() -> inherit(cache));
        threads.schedule(() -> hold(pgdata, cache), AFTER_START.toMillis(), TimeUnit.MILLISECONDS);
    }

    private BlockSource timed(BlockSource source) {
        return new BlockSource() {
            @Override
            public CompletionStage<ByteBuffer> read(RelationFile file, int first, int count) {
                return read(List.of(new BlockRange(file, first, count)));
            }

            @Override
            public CompletionStage<ByteBuffer> read(List<BlockRange> pieces) {
                long began = System.nanoTime();
                return source.read(pieces).whenComplete((blocks, e) -> {
                    if (e == null) {
                        fetches.record(System.nanoTime() - began, TimeUnit.NANOSECONDS);
                    }
                });
            }

            @Override
            public List<BlockRange> together(RelationFile file, int block) {
                return source.together(file, block);
            }
        };
    }

    /** What all caches of this node have done and hold. */
    synchronized ReadThroughFigures figures() {
        return caches.values().stream()
                .map(cache -> cache.agent.recentFigures())
                .reduce(past, ReadThroughFigures::plus);
    }

    /** What all caches of this node may hold, in bytes. */
    long limit() {
        return caches.values().stream().mapToLong(cache -> cache.limit).sum();
    }

    private synchronized Optional<Cache> take(Path directory) {
        wholes.remove(directory);
        Optional<Cache> ended = Optional.ofNullable(caches.remove(directory));
        ended.ifPresent(cache -> past = past.plus(cache.agent.recentFigures().ended()));
        return ended;
    }

    /** Fetches what the last start has read: this one is about to. */
    private void inherit(Cache cache) {
        try {
            HotBlocks.Remembered remembered = cache.hot.newest();
            cache.inherited = remembered.hot();
            cache.agent.fetch(remembered.atStart()).exceptionally(e -> {
                LOG.debug("what the last start read cannot be fetched ahead", e);
                return null;
            });
        } catch (IOException e) {
            LOG.debug("what was hot is not known: generation={}", cache.generation, e);
        }
    }

    /** Says in object storage that the snapshot is in use: until it does, the retention time protects it. */
    private void hold(Path pgdata, Cache cache) {
        if (caches.get(pgdata) != cache) {
            return;
        }
        try {
            synchronized (cache) {
                cache.store.hold(cache.generation, cache.snapshot.manifest());
            }
        } catch (IOException e) {
            LOG.debug("object storage is away, saying later which snapshot is in use", e);
            threads.schedule(() -> hold(pgdata, cache), AFTER_START.toMillis(), TimeUnit.MILLISECONDS);
        }
    }

    /** See {@link StartFiles#advance}. Of one directory by one thread at a time. */
    void advance(Path pgdata, Lsn published, RunningTransactions running) throws IOException {
        Cache cache = caches.get(pgdata);
        if (cache == null) {
            return;
        }
        Awaited awaited = cache.awaited;
        if (awaited == null) {
            if (published.isAfter(cache.snapshot.manifest().end())) {
                await(pgdata, cache, published, running.names());
            }
        } else if (Collections.disjoint(awaited.transactions, running.names())) {
            moveTo(pgdata, cache, awaited.snapshot);
        }
    }

    /** It is the newest now. When it is read it may have been replaced long ago: so it is held from the beginning. */
    private void await(Path pgdata, Cache cache, Lsn published, Set<String> transactions) throws IOException {
        Manifest known = cache.snapshot.manifest();
        Optional<Manifest> newest = cache.store
                .newestUpTo(published)
                // One of a later generation is not this server's past: it does not know yet that it is over.
                .filter(next -> next.end().isAfter(known.end()) && next.generation() <= cache.generation);
        synchronized (cache) {
            if (newest.isPresent() && caches.get(pgdata) == cache) {
                cache.store.hold(cache.generation, newest.get());
                cache.awaited = new Awaited(newest.get(), transactions);
            }
        }
    }

    private void moveTo(Path pgdata, Cache cache, Manifest next) throws IOException {
        Manifest known = cache.snapshot.manifest();
        SnapshotReader reader = cache.snapshot.at(next);
        synchronized (cache) {
            if (caches.get(pgdata) != cache) {
                return;
            }
            boolean moved = cache.agent.moveTo(timed(new SnapshotBlocks(reader, threads)), next.end(), reader::blocks);
            if (moved) {
                cache.snapshot = reader;
            }
            cache.awaited = null;
            // Requests that are under way to the old one are made again if its objects are deleted before they end.
            cache.store.release(cache.generation, moved ? known : next);
            LOG.debug(
                    "snapshot read by generation {}: {} -> {} moved={}",
                    cache.generation,
                    known.end(),
                    next.end(),
                    moved);
        }
    }

    /** All WAL is there that a server over the directory is going to replay, from {@code redo} on: what that reads is fetched. */
    void foresee(PgWalDirectory wal, Lsn redo, Path pgdata) {
        Cache cache = caches.get(pgdata);
        if (cache != null) {
            RecoveryReadAhead.start(cache.snapshot, cache.agent, wal, redo, cache.limit / 2, threads);
        }
    }

    /** The server serves: what was hot is fetched once its first clients are through. */
    void serving(Path pgdata) {
        Cache cache = caches.get(pgdata);
        if (cache != null) {
            threads.schedule(() -> startIsOver(cache), AFTER_START.toMillis(), TimeUnit.MILLISECONDS);
        } else if (wholes.containsKey(pgdata)) {
            threads.schedule(() -> serveWhole(pgdata), AFTER_START.toMillis(), TimeUnit.MILLISECONDS);
        }
    }

    private void startIsOver(Cache cache) {
        cache.atStart = cache.agent.used(MOST_AT_START);
        fetchHot(cache);
    }

    private static void fetchHot(Cache cache) {
        cache.agent.fetch(cache.inherited).exceptionally(e -> {
            LOG.info("what was hot cannot be fetched: generation={} reason={}", cache.generation, e.toString());
            return null;
        });
    }

    /** A candidate will start beside the server: what is hot is remembered for it. */
    void share(Path pgdata) {
        Cache cache = caches.get(pgdata);
        if (cache != null) {
            threads.execute(() -> remember(cache, used(cache)));
        }
    }

    /** The server is a candidate: what its writer has hot is fetched while it replays. */
    void following(Path pgdata) {
        Cache cache = caches.get(pgdata);
        if (cache != null) {
            threads.execute(() -> {
                inherit(cache);
                fetchHot(cache);
            });
        }
    }

    private static HotBlocks.Remembered used(Cache cache) {
        List<BlockRange> hot = cache.agent.used((int) Math.min(MOST_HOT, cache.limit / RelationFile.BLOCK / 2));
        List<BlockRange> atStart = cache.atStart;
        return new HotBlocks.Remembered(
                atStart == null ? new ArrayList<>(cache.agent.used(MOST_AT_START)) : atStart, hot);
    }

    private Optional<ReadThrough> agent(Path pgdata) {
        return Optional.ofNullable(caches.get(pgdata)).map(cache -> cache.agent);
    }

    /** What its cache has done; empty if nothing of it is read through. */
    Optional<ReadThroughFigures> figures(Path pgdata) {
        return agent(pgdata).map(ReadThrough::recentFigures);
    }

    /** Puts a file there that is newer than the snapshot, before the server starts. */
    void adopt(Path pgdata, Path file) {
        agent(pgdata)
                .ifPresent(agent ->
                        RelationFile.parse(pgdata.relativize(file).toString()).ifPresent(agent::adopt));
    }

    /**
     * Whether a file was changed since the start, and if it was, makes it whole. Empty if the directory has it as any other
     * has. Blocks.
     *
     * @throws IOException if what is missing cannot be had
     */
    Optional<Boolean> changed(Path pgdata, RelationFile file) throws IOException {
        Optional<ReadThrough> agent = agent(pgdata).filter(serving -> serving.lists(file));
        if (agent.isEmpty()) {
            return Optional.empty();
        }
        boolean changed = agent.get().isChanged(file);
        if (changed) {
            fetch(agent.get(), file);
        }
        return Optional.of(changed);
    }

    private static void fetch(ReadThrough agent, RelationFile file) throws IOException {
        try {
            agent.fetch(agent.all(file).stream().toList())
                    .toCompletableFuture()
                    .get(WHOLE_LIMIT.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        } catch (ExecutionException | TimeoutException e) {
            throw new IOException("file cannot be made whole: file=" + file.path(), e);
        }
    }

    /** Nothing runs there any more. What was hot is remembered; what lies elsewhere is removed. */
    void end(Path directory) throws IOException {
        Optional<Cache> ended = take(directory);
        if (ended.isPresent()) {
            Cache cache = ended.get();
            HotBlocks.Remembered remembered = used(cache);
            cache.agent.close();
            threads.execute(() -> leave(cache, remembered));
        }
        Optional<Path> shared = shared(directory);
        if (shared.isPresent()) {
            FileTree.delete(shared.get());
        }
    }

    private static void leave(Cache cache, HotBlocks.Remembered remembered) {
        remember(cache, remembered);
        try {
            synchronized (cache) {
                Awaited awaited = cache.awaited;
                if (awaited != null) {
                    cache.store.release(cache.generation, awaited.snapshot);
                }
                cache.store.release(cache.generation, cache.snapshot.manifest());
            }
        } catch (IOException e) {
            LOG.info("what was read is not released: generation={} reason={}", cache.generation, e.toString());
        }
    }

    private static void remember(Cache cache, HotBlocks.Remembered remembered) {
        try {
            // Nothing is left behind of a timeline that has been deleted meanwhile.
            if (cache.store.has(cache.snapshot.manifest())) {
                cache.hot.remember(cache.generation, cache.remembered.incrementAndGet(), remembered);
            }
        } catch (IOException e) {
            LOG.info("what was hot is not remembered: generation={} reason={}", cache.generation, e.toString());
        }
    }

    /** Ends all agents, and waits a moment for what is being remembered. */
    @Override
    public void close() {
        caches.values().forEach(cache -> cache.agent.close());
        threads.shutdown();
        try {
            if (!threads.awaitTermination(WHOLE_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
                threads.shutdownNow();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
