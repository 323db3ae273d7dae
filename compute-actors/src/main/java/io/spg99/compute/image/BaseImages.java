package io.spg99.compute.image;

import io.spg99.storage.file.DurableFiles;
import io.spg99.storage.file.FileTree;
import io.spg99.storage.file.Prepared;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PgControl;
import io.spg99.storage.postgres.PgWalDirectory;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.postgres.Programs;
import io.spg99.storage.postgres.WalFiles;
import io.spg99.storage.readthrough.ReadThroughFigures;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The base images timelines begin with: one per PostgreSQL version and locale, made once, stored once in object storage,
 * used by reference.
 *
 * <pre>
 * object storage   images/&lt;key&gt;.tar.zst   the image, complete in itself; whoever puts it first decides
 *                  images/&lt;key&gt;.json      the same information as inside, for people and tools
 * local cache      &lt;key&gt;/image.json, &lt;key&gt;/files/           unpacked once
 *                  &lt;key&gt;/spare-*                             copies ready to be renamed into place
 * </pre>
 */
public final class BaseImages implements StartFiles, AutoCloseable {

    /** PostgreSQL's superuser; local connections only. */
    public static final String SUPERUSER = "spg99_agent";

    /** What the user's database is called before its first start. */
    public static final String USER_DATABASE = "spg99_user";

    /** The superuser's own database. No user's database can have this name. */
    public static final String AGENT_DATABASE = "spg99-agent";

    /** In PGDATA: what the agent tells the extension spg99. Empty in an image, so that no start makes a file for it. */
    public static final String STATUS_FILE = "spg99_status";

    private static final Logger LOG = LoggerFactory.getLogger(BaseImages.class);

    /** Changes whenever the making of the image changes. */
    private static final int RECIPE = 6;

    /** Spare copies per image, 15 MB each; a start that finds none copies for itself (20 ms on a quiet machine). */
    private static final int SPARES = 3;

    /** More than that are not kept when generations end. */
    private static final int MAX_SPARES = 16;

    /** New spares wait until the start that used the last one is likely over: they compete for the same disk. */
    private static final Duration REFILL_DELAY = Duration.ofSeconds(1);

    /** In an image's directory: the boot of the machine in which it was written. */
    private static final String BOOT = "boot";

    private static final Duration COPY_DEADLINE = Duration.ofMinutes(1);

    private final PostgresBinaries binaries;
    private final OsUser user;
    private final ObjectStore objects;
    private final Path cache;
    private final SecureRandom random = new SecureRandom();
    private final Map<String, Cached> loaded = new ConcurrentHashMap<>();
    private final ScheduledExecutorService refiller = Executors.newSingleThreadScheduledExecutor(
            task -> Thread.ofPlatform().name("spare-images").daemon().unstarted(task));

    /** An image in the local cache, with the spare copies that are ready. */
    private record Cached(ImageInfo info, Path directory, ConcurrentLinkedDeque<Path> spares) {
        Path files() {
            return directory.resolve("files");
        }

        Path newSpare(SecureRandom random) {
            return directory.resolve("spare-" + Long.toHexString(random.nextLong()));
        }
    }

    /** @param localCache best on the same file system as the generations' directories: spares are renamed there */
    public BaseImages(PostgresBinaries binaries, OsUser user, ObjectStore objects, Path localCache) {
        this.binaries = binaries;
        this.user = user;
        this.objects = objects;
        this.cache = localCache.toAbsolutePath();
    }

    /**
     * Makes sure that the image of this program's PostgreSQL version exists and is in the local cache. Blocks; the very
     * first call runs initdb (about a second).
     *
     * @return its key
     */
    public String ensure() throws IOException {
        String key = key();
        load(key);
        return key;
    }

    /** Key of the image that new timelines begin with. */
    public String key() {
        return "pg" + binaries.version() + "-builtin-C.UTF-8-" + RECIPE;
    }

    /** A new timeline's beginning on {@link #key}, with a system identifier of its own. Blocks only before {@link #ensure}. */
    public TimelineBase newBase(TimelineId timeline) throws IOException {
        ImageInfo info = load(key()).info();
        long systemIdentifier = random.nextLong(1, Long.MAX_VALUE);
        byte[] firstWal = info.firstWal().clone();
        // Only the page header has it; the record's checksum does not cover the header.
        ByteBuffer.wrap(firstWal)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(WalFiles.SYSTEM_IDENTIFIER_OFFSET, systemIdentifier);
        return new TimelineBase(timeline, systemIdentifier, info.segmentSize(), info.start(), firstWal);
    }

    @Override
    public void layOut(String image, Path directory) throws IOException {
        Cached cached = load(image);
        if (!takeSpare(cached, directory)) {
            copy(cached.files(), directory);
        }
        refill(cached, REFILL_DELAY);
    }

    @Override
    public Map<String, String> environment(Path directory) {
        return Map.of();
    }

    @Override
    public Lsn materialize(String image, TimelineBase base, int generation, long cacheLimit, Path pgdata)
            throws IOException {
        materialize(image, base, pgdata);
        return base.end();
    }

    @Override
    public Optional<ReadThroughFigures> cache(Path pgdata) {
        return Optional.empty();
    }

    /** Makes {@code pgdata}, which was {@linkplain #layOut laid out} and is not used yet, what the timeline begins with. Blocks. */
    public void materialize(String image, TimelineBase base, Path pgdata) throws IOException {
        Cached cached = load(image);
        if (!cached.info().start().equals(base.start()) || cached.info().segmentSize() != base.segmentSize()) {
            throw new IOException("timeline does not begin with this image: timeline=" + base.timeline() + " image="
                    + image + " expected=" + cached.info().start() + " actual=" + base.start());
        }
        byte[] nonce = new byte[PgControl.NONCE_LENGTH];
        random.nextBytes(nonce);
        PgControl.read(pgdata).writeAs(pgdata, base.systemIdentifier(), nonce);
    }

    /**
     * The directory becomes a spare again: of a thousand files a short run changes a few dozen. Removing them all and copying
     * others costs ten times as much, and slows the next start too where the file system avoids freshly freed inodes (ext4
     * without a journal).
     */
    @Override
    public void discard(String image, Path pgdata) throws IOException {
        Cached cached = loaded.get(image);
        if (cached != null && Files.isDirectory(pgdata) && cached.spares().size() < MAX_SPARES) {
            try {
                FileTree.restore(cached.files(), pgdata);
                Path spare = cached.newSpare(random);
                Files.move(pgdata, spare, StandardCopyOption.ATOMIC_MOVE);
                cached.spares().add(spare);
                return;
            } catch (FileSystemException e) {
                LOG.debug("directory is no spare image any more: directory={}", pgdata, e);
            }
        }
        FileTree.delete(pgdata);
    }

    /** An image knows nothing of a timeline's writers. */
    @Override
    public void inherit(TimelineBase base, int parent, Lsn end, Path pgdata) {}

    /** An image knows nothing of a timeline's writers. */
    @Override
    public void bequeath(TimelineBase base, Path pgdata) {}

    @Override
    public void foresee(PgWalDirectory wal, Lsn redo, Path pgdata) {}

    @Override
    public void serving(Path pgdata) {}

    @Override
    public void advance(Path pgdata, Lsn published, RunningTransactions running) {}

    @Override
    public void share(Path pgdata) {}

    @Override
    public void following(Path pgdata) {}

    @Override
    public void remove(Path directory) throws IOException {
        FileTree.delete(directory);
    }

    /** The files of an image, not to be changed. */
    public Path files(String image) throws IOException {
        return load(image).files();
    }

    /** Ends the making of spare copies. */
    @Override
    public void close() {
        refiller.shutdownNow();
    }

    private boolean takeSpare(Cached cached, Path pgdata) throws IOException {
        for (Path spare = cached.spares().poll();
                spare != null;
                spare = cached.spares().poll()) {
            try {
                Files.move(spare, pgdata, StandardCopyOption.ATOMIC_MOVE);
                return true;
            } catch (AtomicMoveNotSupportedException e) {
                cached.spares().addFirst(spare);
                return false; // another file system
            } catch (FileSystemException e) {
                LOG.debug("spare image cannot be used: spare={}", spare, e);
            }
        }
        return false;
    }

    private void refill(Cached cached, Duration delay) {
        refiller.schedule(() -> makeSpares(cached), delay.toMillis(), TimeUnit.MILLISECONDS);
    }

    private void makeSpares(Cached cached) {
        try {
            while (cached.spares().size() < SPARES && !refiller.isShutdown()) {
                Path spare = cached.newSpare(random);
                copy(cached.files(), spare);
                cached.spares().add(spare);
            }
        } catch (IOException e) {
            if (refiller.isShutdown()) {
                return; // interrupted by close
            }
            LOG.warn(
                    "spare image could not be made, starts will be slower: image={}",
                    cached.info().key(),
                    e);
        }
    }

    private Cached load(String key) throws IOException {
        Cached cached = loaded.get(key);
        return cached != null ? cached : loadFirst(key);
    }

    private synchronized Cached loadFirst(String key) throws IOException {
        Cached cached = loaded.get(key);
        if (cached == null) {
            Path directory = cache.resolve(key);
            if (!isOfThisBoot(directory)) {
                FileTree.delete(directory);
                obtain(key, directory);
            }
            removeSpares(directory);
            ImageInfo info = ImageInfo.fromJson(Files.readAllBytes(directory.resolve("image.json")));
            cached = new Cached(info, directory, new ConcurrentLinkedDeque<>());
            loaded.put(key, cached);
            refill(cached, Duration.ZERO);
        }
        return cached;
    }

    /** Brings an image from object storage to the local cache; makes it if there is none and it is ours to make. */
    private void obtain(String key, Path directory) throws IOException {
        Files.createDirectories(cache);
        Path aside = user.createPrivateDirectory(cache.resolve(".new-" + Long.toHexString(random.nextLong())));
        try {
            if (!objects.exists(archiveKey(key))) {
                if (!key.equals(key())) {
                    throw new IOException("base image is not in object storage: object=" + archiveKey(key));
                }
                make(key, aside);
            }
            Path files = aside.resolve("files");
            ImageInfo info;
            try (InputStream in = objects.open(archiveKey(key))) {
                info = ImageArchive.unpack(in, files);
            }
            objects.putIfAbsent("images/" + key + ".json", info.toJson());
            Files.write(aside.resolve("image.json"), info.toJson());
            Files.writeString(aside.resolve(BOOT), boot());
            user.ownTree(aside);
            moveUnlessExists(aside, directory);
        } finally {
            FileTree.delete(aside);
        }
    }

    /** Nothing of the cache is synced: after a power failure it comes from object storage again. */
    private static boolean isOfThisBoot(Path directory) throws IOException {
        Path mark = directory.resolve(BOOT);
        return Files.exists(mark) && Files.readString(mark).equals(boot());
    }

    private static String boot() throws IOException {
        return Files.readString(Path.of("/proc/sys/kernel/random/boot_id"));
    }

    private void make(String key, Path aside) throws IOException {
        String name = key + "-" + ImageBuilder.fingerprint() + ".tar.zst";
        Optional<Path> prepared = Prepared.directory("images").map(images -> images.resolve(name));
        if (prepared.isPresent() && Files.exists(prepared.get())) {
            publish(key, prepared.get());
            return;
        }
        LOG.info("making the base image: key={}", key);
        Path pgdata = aside.resolve("initdb");
        Path archive = aside.resolve("image.tar.zst");
        ImageInfo info = new ImageBuilder(binaries, user).build(key, pgdata);
        ImageArchive.pack(info, pgdata, archive);
        publish(key, archive);
        if (prepared.isPresent()) {
            keep(archive, prepared.get());
        }
        FileTree.delete(pgdata);
        Files.delete(archive);
    }

    private void publish(String key, Path archive) throws IOException {
        if (!objects.putIfAbsent(archiveKey(key), archive)) {
            LOG.info("the base image was made elsewhere meanwhile, using that: key={}", key);
        }
    }

    private static void keep(Path archive, Path prepared) {
        Path directory = Objects.requireNonNull(prepared.getParent());
        try {
            Files.createDirectories(directory);
            Path aside = directory.resolve("." + UUID.randomUUID());
            DurableFiles.write(aside, ByteBuffer.wrap(Files.readAllBytes(archive)));
            Files.move(aside, prepared, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            LOG.debug("the next platform makes the image for itself: file={}", prepared, e);
        }
    }

    private static String archiveKey(String key) {
        return "images/" + key + ".tar.zst";
    }

    /** Left by an earlier run: perhaps incomplete after a power failure. */
    private static void removeSpares(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            for (Path spare : files.filter(f -> f.getFileName().toString().startsWith("spare-"))
                    .toList()) {
                FileTree.delete(spare);
            }
        }
    }

    /** A native copy, with owners; the files' blocks are shared where the file system can do that. */
    private static void copy(Path from, Path to) throws IOException {
        Programs.run(
                List.of(tool("cp"), "-a", "--reflink=auto", from.toString(), to.toString()),
                PostgresProcess.environment(),
                "",
                COPY_DEADLINE);
    }

    private static String tool(String name) throws IOException {
        return Programs.find(name)
                .orElseThrow(() -> new IOException("program is missing: name=" + name))
                .toString();
    }

    private static void moveUnlessExists(Path from, Path to) throws IOException {
        try {
            Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
        } catch (FileSystemException e) {
            if (!Files.isDirectory(to)) {
                throw e;
            }
        }
    }

    /** How many spare copies are ready. */
    int spares(String key) {
        Cached cached = loaded.get(key);
        return cached == null ? 0 : cached.spares().size();
    }
}
