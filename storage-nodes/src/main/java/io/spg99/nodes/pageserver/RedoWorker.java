package io.spg99.nodes.pageserver;

import io.spg99.nodes.safekeeper.log.MalformedWalException;
import io.spg99.nodes.safekeeper.log.WalRecordWalker;
import io.spg99.storage.file.FileTree;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PgControl;
import io.spg99.storage.postgres.PgWalDirectory;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.postgres.PostgresLog;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.postgres.WalFiles;
import io.spg99.storage.readthrough.ReadThroughLibrary;
import io.spg99.storage.readthrough.ReadThroughSettings;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalArchive;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.safekeeper.WalSegmentFiles;
import io.spg99.storage.snapshot.DataDirectory;
import io.spg99.storage.snapshot.Manifest;
import io.spg99.storage.snapshot.RecoveryReadAhead;
import io.spg99.storage.snapshot.SnapshotBuilder;
import io.spg99.storage.snapshot.SnapshotReader;
import io.spg99.storage.snapshot.SnapshotRetention;
import io.spg99.storage.snapshot.SnapshotStore;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.SecureRandom;
import java.time.Clock;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Makes the next snapshot of a timeline. PostgreSQL is the only one that interprets WAL: it is started as a standby over
 * the snapshot before, with the WAL up to the newest checkpoint record, told to shut down after that record, and writes at
 * its end everything that it has changed, since a checkpoint record is what it may begin from again. What then differs from
 * the snapshot before is the new layer.
 *
 * <p>All methods block. Several may run at once, for different timelines. Interrupted or killed at any moment, nothing has
 * happened but that layers without a manifest may be left.
 */
public final class RedoWorker implements SnapshotMaker {

    private static final Logger LOG = LoggerFactory.getLogger(RedoWorker.class);

    private static final int READERS = 8;

    private final PostgresBinaries binaries;
    private final OsUser user;
    private final BaseFiles images;
    private final ObjectStore objects;
    private final TlsIdentity identity;
    private final Optional<ReadThroughLibrary> library;
    private final RedoDirectories directories;
    private final PageserverSettings settings;
    private final Clock clock;
    private final SecureRandom random = new SecureRandom();

    /** Of timelines whose last run did not end in time: for the next one. */
    private final Map<TimelineId, Duration> deadlines = new ConcurrentHashMap<>();

    /** Reads of object storage at once, of all runs. */
    private final ThreadPoolExecutor readers = new ThreadPoolExecutor(
            READERS, READERS, 10, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), Pageserver.background("redo-read"));

    /**
     * Makes the directory ready, in which redo workers run; nobody else may use it. Blocks.
     *
     * @param directory made if missing; the PostgreSQL user must be able to reach it. What an earlier run of the program left
     *                  there is removed
     * @param identity  for Safekeepers, which let it read what two of them have
     * @param library   empty where it was not built: each run brings all files of the snapshot before then
     */
    public static RedoWorker open(
            PostgresBinaries binaries,
            OsUser user,
            BaseFiles images,
            ObjectStore objects,
            TlsIdentity identity,
            Optional<ReadThroughLibrary> library,
            Path directory,
            PageserverSettings settings,
            Clock clock)
            throws IOException {
        RedoDirectories directories = RedoDirectories.open(directory, user);
        return new RedoWorker(binaries, user, images, objects, identity, library, directories, settings, clock);
    }

    private RedoWorker(
            PostgresBinaries binaries,
            OsUser user,
            BaseFiles images,
            ObjectStore objects,
            TlsIdentity identity,
            Optional<ReadThroughLibrary> library,
            RedoDirectories directories,
            PageserverSettings settings,
            Clock clock) {
        this.binaries = binaries;
        this.user = user;
        this.images = images;
        this.objects = objects;
        this.identity = identity;
        this.library = library;
        this.directories = directories;
        this.settings = settings;
        this.clock = clock;
        readers.allowCoreThreadTimeOut(true);
    }

    @Override
    public Result advance(RedoJob job) throws IOException {
        SnapshotStore store = new SnapshotStore(objects, job.base().timeline());
        return new Result(newest(job, store), store.storedBytes());
    }

    /** Made if need be. */
    private Optional<Manifest> newest(RedoJob job, SnapshotStore store) throws IOException {
        Optional<Manifest> newest = store.newest();
        Lsn known = newest.map(Manifest::end).orElse(job.base().end());
        if (!known.isBefore(job.end())) {
            return newest;
        }
        Path image = images.files(job.image());
        Manifest before =
                newest.isPresent() ? newest.get() : DataDirectory.imageManifest(image, job.image(), job.base());
        Path fetched = Files.createDirectories(directories.wal(job.base().timeline()));
        try {
            WalRecordWalker records = fetch(job, before, fetched);
            WalArchiver.add(
                    archive(job), objects, fetched, job.history(), before.segmentSize(), before.walStart(), job.end());
            // Without a checkpoint that is new there is nothing to do yet, and nothing has been done but this.
            return records.checkpointEnd().isAfter(before.end())
                    ? Optional.of(redo(job, store, new SnapshotReader(store, before, image), image, records, fetched))
                    : newest;
        } finally {
            FileTree.delete(fetched);
        }
    }

    private Manifest redo(
            RedoJob job, SnapshotStore store, SnapshotReader reader, Path image, WalRecordWalker records, Path fetched)
            throws IOException {
        Path pgdata = directories.pgdata(job.base().timeline());
        try {
            images.materialize(job.image(), job.base(), pgdata);
            ReadThroughSettings limited = ReadThroughSettings.DEFAULT.withCacheLimit(settings.cacheLimit());
            try (RedoFiles files = RedoFiles.lay(reader, pgdata, image, user, library, directories, limited, readers)) {
                return redo(job, store, reader, files, records, fetched);
            }
        } finally {
            PostgresProcess.removeRemains(pgdata);
            images.discard(job.image(), pgdata);
        }
    }

    private Manifest redo(
            RedoJob job,
            SnapshotStore store,
            SnapshotReader reader,
            RedoFiles files,
            WalRecordWalker records,
            Path fetched)
            throws IOException {
        Manifest before = reader.manifest();
        Path pgdata = files.pgdata();
        Path pgWal = pgdata.resolve("pg_wal");
        clear(pgWal);
        move(fetched, pgWal);
        Lsn end = records.checkpointEnd();
        WalHistory history = job.history().upTo(end);
        renameLast(pgWal, job.history(), history, before.segmentSize(), end);
        PgWalDirectory wal = new PgWalDirectory(
                pgWal, before.systemIdentifier(), before.segmentSize(), history, before.walStart(), end);
        wal.prepare();
        wal.writeHistory();
        user.ownTree(pgWal);
        files.through()
                .ifPresent(agent ->
                        RecoveryReadAhead.start(reader, agent, wal, before.redo(), settings.cacheLimit() / 2, readers));
        configure(pgdata, records.checkpoint(), history.last().generation());
        run(job.base(), files);
        PgControl control = PgControl.read(pgdata);
        if (!control.isShutDownInRecovery()
                || !control.checkpoint().equals(records.checkpoint())
                || control.systemIdentifier() != before.systemIdentifier()) {
            throw new IOException("redo did not end at its target: timeline="
                    + job.base().timeline() + " target=" + records.checkpoint() + " actual=" + control.checkpoint());
        }
        clear(pgWal);
        Files.deleteIfExists(pgdata.resolve("standby.signal"));
        SnapshotBuilder.Target target =
                new SnapshotBuilder.Target(history.last().generation(), control.redo(), end, clock, random.nextLong());
        DataDirectory directory = new DataDirectory(pgdata);
        Set<String> names = directory.content().files().keySet();
        Manifest manifest = SnapshotBuilder.build(
                store,
                reader,
                directory,
                files.untouched(),
                files.through(),
                target,
                directories.scratch(job.base().timeline()));
        // A directory that somebody deletes meanwhile looks like a database without some of its relations.
        if (!names.contains("global/pg_control")
                || !directory.content().files().keySet().equals(names)) {
            throw new IOException("files are gone while they are read, nothing is published: timeline="
                    + job.base().timeline() + " directory=" + pgdata);
        }
        // Until then nobody deletes its layer, which no manifest names.
        if (clock.millis() - manifest.madeAtMillis() >= settings.retention().toMillis()) {
            throw new IOException("layer took too long to be stored: timeline="
                    + job.base().timeline() + " retention=" + settings.retention());
        }
        if (!store.publish(manifest)) {
            LOG.info("timeline={} snapshot={} exists already", job.base().timeline(), end);
        }
        LOG.info(
                "timeline={} snapshot {} -> {}: generation={} files={} bytes={} layers={}",
                job.base().timeline(),
                before.end(),
                manifest.end(),
                manifest.generation(),
                manifest.files().size(),
                manifest.size(),
                manifest.layers().size());
        return manifest;
    }

    @Override
    public boolean collect(TimelineId timeline) throws IOException {
        SnapshotStore store = new SnapshotStore(objects, timeline);
        SnapshotRetention.Collected collected = SnapshotRetention.collect(store, clock.millis(), settings.retention());
        if (!collected.deleted().isEmpty()) {
            LOG.info("timeline={} objects deleted that no snapshot needs: {}", timeline, collected.deleted());
        }
        return collected.more();
    }

    private WalArchive archive(RedoJob job) {
        return new WalArchive(objects, job.base().timeline(), job.base().segmentSize());
    }

    /** Brings the WAL from where redo begins, and looks for checkpoints in what is new of it. */
    private WalRecordWalker fetch(RedoJob job, Manifest before, Path pgWal) throws IOException {
        TimelineBase base = job.base();
        WalRecordWalker records = new WalRecordWalker(
                before.systemIdentifier(), before.segmentSize(), job.history(), before.end(), Lsn.ZERO);
        WalFetch fetch = new WalFetch(base.timeline(), identity, "pageserver");
        try (WalSegmentFiles files = new WalSegmentFiles(pgWal, job.history(), before.segmentSize())) {
            archive(job).fetch(fetch, job.sources(), job.history(), before.walStart(), job.end(), (at, bytes) -> {
                walk(records, at, bytes.duplicate());
                files.accept(at, bytes);
            });
        }
        return records;
    }

    /**
     * If a later generation begins in the target's segment, that has the later one's name. PostgreSQL looks for it under the name
     * that it has in the target's lineage, where it reads prepared transactions.
     */
    private static void renameLast(Path pgWal, WalHistory whole, WalHistory lineage, int segmentSize, Lsn end)
            throws IOException {
        if (end.offset(segmentSize) > 0) {
            long last = end.segment(segmentSize);
            String name = WalFiles.segmentName(lineage.generationOfSegment(last, segmentSize), last, segmentSize);
            String there = WalFiles.segmentName(whole.generationOfSegment(last, segmentSize), last, segmentSize);
            Files.move(pgWal.resolve(there), pgWal.resolve(name), StandardCopyOption.REPLACE_EXISTING);
        }
    }

    private static void walk(WalRecordWalker records, Lsn at, ByteBuffer bytes) throws MalformedWalException {
        long known = records.position().minus(at);
        if (known < bytes.remaining()) {
            bytes.position(bytes.position() + (int) Math.max(known, 0));
            records.accept(bytes);
        }
    }

    private static void move(Path from, Path pgWal) throws IOException {
        try (Stream<Path> files = Files.list(from)) {
            for (Path file : files.toList()) {
                Files.move(file, pgWal.resolve(file.getFileName()));
            }
        }
    }

    private static void clear(Path pgWal) throws IOException {
        try (Stream<Path> files = Files.list(pgWal)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                Files.delete(file);
            }
        }
    }

    private void configure(Path pgdata, Lsn target, int generation) throws IOException {
        put(pgdata, "postgresql.conf", """
                # Written for one run of redo: no connections, no writes but those of recovery.
                listen_addresses = ''
                # PostgreSQL insists on one. It is in the data directory; who is not its user cannot get there.
                unix_socket_directories = '.'
                unix_socket_permissions = 0700
                hot_standby = off
                recovery_target_lsn = '%s'
                recovery_target_inclusive = on
                recovery_target_action = shutdown
                recovery_target_timeline = '%d'
                shared_buffers = %dMB
                huge_pages = off
                dynamic_shared_memory_type = mmap
                max_connections = 10
                # Transactions that were prepared and not ended take a place each.
                max_prepared_transactions = 1000
                max_wal_senders = 0
                max_logical_replication_workers = 0
                restart_after_crash = off
                # The directory is thrown away if the machine fails.
                fsync = off
                full_page_writes = off
                wal_recycle = off
                # Redo looks this many blocks, and this much WAL, ahead: what it changes comes from object storage.
                maintenance_io_concurrency = 256
                wal_decode_buffer_size = 2MB
                # No restart point but the last one.
                checkpoint_timeout = 1d
                max_wal_size = 1TB
                log_min_messages = warning
                log_checkpoints = off
                log_line_prefix = '[%%p] %%b '
                log_timezone = 'UTC'
                lc_messages = 'C'
                """.formatted(target, generation, settings.sharedBuffersMb()));
        put(pgdata, "postgresql.auto.conf", "");
        put(pgdata, "pg_hba.conf", "local all all reject\n");
        put(pgdata, "pg_ident.conf", "");
        put(pgdata, "standby.signal", "");
    }

    private void put(Path pgdata, String name, String content) throws IOException {
        user.writePrivate(pgdata.resolve(name), content.getBytes(StandardCharsets.UTF_8));
    }

    private void run(TimelineBase base, RedoFiles files) throws IOException {
        Duration deadline = deadlines.getOrDefault(base.timeline(), settings.redoDeadline());
        PostgresProcess server = PostgresProcess.start(new PostgresProcess.Launch(
                binaries,
                user,
                files.pgdata(),
                files.environment(),
                Map.of(),
                false,
                PostgresLog.sink(Map.of("timeline", base.timeline().value()))));
        try {
            server.exit().toCompletableFuture().get(deadline.toMillis(), TimeUnit.MILLISECONDS);
            deadlines.remove(base.timeline());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while redo ran: timeline=" + base.timeline(), e);
        } catch (ExecutionException | CancellationException e) {
            throw new IOException("redo cannot be followed: timeline=" + base.timeline(), e);
        } catch (TimeoutException e) {
            deadlines.put(base.timeline(), deadline.multipliedBy(2));
            throw new IOException(
                    "redo did not end in time, is given twice that now: timeline=" + base.timeline() + " deadline="
                            + deadline + " log=" + server.lastError(),
                    e);
        } finally {
            server.kill();
        }
        List<String> lines = server.lastLines();
        if (lines.stream().anyMatch(line -> line.contains("FATAL:  ") || line.contains("PANIC:  "))) {
            throw new IOException("redo failed: timeline=" + base.timeline() + " log=" + server.lastError());
        }
    }
}
