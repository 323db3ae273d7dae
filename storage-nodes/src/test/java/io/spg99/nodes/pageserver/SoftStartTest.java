package io.spg99.nodes.pageserver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.quorum.QuorumCommand;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.readthrough.ReadThroughLibrary;
import io.spg99.storage.readthrough.ReadThroughSettings;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.WalSegmentName;
import io.spg99.storage.snapshot.Layer;
import io.spg99.storage.snapshot.Manifest;
import io.spg99.storage.snapshot.SnapshotRetention;
import io.spg99.storage.snapshot.SnapshotStore;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Real computes that start on a snapshot with hardly anything on their disk, and what may be missing then. */
class SoftStartTest {

    private static final String ROWS = "SELECT count(*) || ' ' || sum(id) FROM big WHERE length(filler) = 200";
    private static final String EXPECTED = "100000 5000050000";

    private static TestTimelines timelines;

    @BeforeAll
    static void begin() throws Exception {
        timelines = new TestTimelines();
        Assumptions.assumeTrue(
                ReadThroughLibrary.install(timelines.root.resolve("native")).isPresent(), "the library was not built");
    }

    @AfterAll
    static void end() throws Exception {
        timelines.close();
    }

    /** Object storage that can be away, and counts what is read of parts of objects: what a running generation needs. */
    private static final class AbsentStore implements ObjectStore {
        private final ObjectStore store;
        private volatile boolean away;

        /** Nothing of what was hot is known. */
        private volatile boolean forgetful;

        /** Of each read. */
        private volatile int delayMillis;

        private final AtomicLong bytesRead = new AtomicLong();

        AbsentStore(ObjectStore store) {
            this.store = store;
        }

        private ObjectStore there() throws IOException {
            if (away) {
                throw new IOException("object storage is away");
            }
            return store;
        }

        @Override
        public boolean putIfAbsent(String key, Path content) throws IOException {
            return there().putIfAbsent(key, content);
        }

        @Override
        public boolean putIfAbsent(String key, byte[] content) throws IOException {
            return there().putIfAbsent(key, content);
        }

        @Override
        public InputStream open(String key) throws IOException {
            return there().open(key);
        }

        @Override
        public byte[] read(String key, long offset, int length) throws IOException {
            bytesRead.addAndGet(length);
            if (delayMillis > 0) {
                LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(delayMillis));
            }
            return there().read(key, offset, length);
        }

        @Override
        public boolean exists(String key) throws IOException {
            return there().exists(key);
        }

        @Override
        public List<String> list(String prefix) throws IOException {
            return forgetful && prefix.endsWith("/hot/") ? List.of() : there().list(prefix);
        }

        @Override
        public long size(String prefix) throws IOException {
            return there().size(prefix);
        }

        @Override
        public void delete(String key) throws IOException {
            there().delete(key);
        }
    }

    /** A generation with a table of 24 MB that stops in order, and a snapshot of it. */
    private static Manifest filled(TestTimelines.Timeline timeline) throws Exception {
        timeline.start();
        try (Connection connection = timeline.connect()) {
            Workload.run(
                    connection,
                    "CREATE TABLE big AS SELECT id, repeat('x', 200) AS filler FROM generate_series(1, 100000) id",
                    "CREATE INDEX ON big (id)");
        }
        timeline.stop();
        return snapshot(timeline, timeline.prepare());
    }

    private static Manifest snapshot(TestTimelines.Timeline timeline, QuorumReply.Prepared prepared) throws Exception {
        return timelines
                .redoWorker(timelines.objects)
                .advance(timeline.job(prepared))
                .newest()
                .orElseThrow();
    }

    private static SnapshotStore store(TestTimelines.Timeline timeline) {
        return new SnapshotStore(timelines.objects, timeline.base.timeline());
    }

    /** Bytes that the files of a directory take. */
    private static long diskUse(Path directory) throws IOException {
        Process du = new ProcessBuilder("du", "-sk", directory.toString()).start();
        try (InputStream output = du.getInputStream()) {
            return Long.parseLong(new String(output.readAllBytes(), StandardCharsets.US_ASCII).split("\\s", 2)[0])
                    * 1024;
        }
    }

    private static double metered(TestTimelines.Timeline timeline, String name) {
        return timeline.meters
                .get("spg99.read.through." + name)
                .functionCounter()
                .count();
    }

    @Test
    void givenALargeTable_whenStarted_thenLittleIsLocalAndWhatWasHotComesBackByItself() throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        filled(timeline);

        timeline.start();
        String file;
        try (Connection connection = timeline.connect()) {
            file = Workload.ask(connection, "SELECT pg_relation_filepath('big')");
            Path table = timeline.pgdata().resolve(file);
            assertEquals("42", Workload.ask(connection, "SELECT id FROM big WHERE id = 42"));
            assertTrue(diskUse(table) < 1 << 20, "bytes=" + diskUse(table));
            assertTrue(diskUse(timeline.pgdata()) < 32 << 20, "bytes=" + diskUse(timeline.pgdata()));
            assertEquals(EXPECTED, Workload.ask(connection, ROWS));
            assertTrue(diskUse(table) > 20 << 20, "bytes=" + diskUse(table));
            Awaitility.await("the extension says so")
                    .atMost(TestTimelines.PATIENCE)
                    .until(() -> Workload.ask(
                                    connection,
                                    "SELECT misses > 0 AND read_ahead > 1000 AND resident_bytes > 20e6"
                                            + " AND snapshot_lsn > '0/1400000' FROM spg99.cache, spg99.status")
                            .equals("t"));
            assertTrue(metered(timeline, "misses") > 0, "misses=" + metered(timeline, "misses"));
            assertTrue(metered(timeline, "read.ahead") > 1000, "read ahead=" + metered(timeline, "read.ahead"));
            assertTrue(timeline.meters.get("spg99.read.through.fetch").timer().count() > 0);
            assertEquals(
                    2.0 * (1 << 30),
                    timeline.meters
                            .get("spg99.read.through.limit.bytes")
                            .gauge()
                            .value(),
                    "that of profile L1");
        }
        double misses = metered(timeline, "misses");
        timeline.stop();
        assertTrue(metered(timeline, "misses") >= misses, "what is counted does not fall when a generation ends");
        assertEquals(
                0,
                timeline.meters.get("spg99.read.through.resident.bytes").gauge().value());
        String hot = "timelines/" + timeline.base.timeline() + "/hot/";
        Awaitility.await("what was hot is remembered")
                .atMost(TestTimelines.PATIENCE)
                .until(() -> !timelines.objects.list(hot).isEmpty());

        timeline.start();
        Path again = timeline.pgdata().resolve(file);
        Awaitility.await("what was hot is fetched")
                .atMost(TestTimelines.PATIENCE)
                .until(() -> Files.exists(again) && diskUse(again) > 20 << 20);
        timeline.kill();
    }

    @Test
    void givenABitmapScan_whenPostgresAsksAhead_thenItWaitsForLess() throws Exception {
        AbsentStore store = new AbsentStore(timelines.objects);
        store.forgetful = true;
        TestTimelines.Timeline timeline = timelines.timeline(store, ReadThroughSettings.DEFAULT);
        filled(timeline);
        timeline.start();
        try (Connection connection = timeline.connect()) {
            Workload.run(
                    connection,
                    "CREATE EXTENSION IF NOT EXISTS amcheck",
                    // All of the index is local: what is counted is the table's.
                    "SELECT bt_index_check('big_id_idx')",
                    "SET enable_seqscan = off",
                    "SET enable_indexscan = off",
                    "SET enable_indexonlyscan = off");
            store.delayMillis = 5;
            Scan without = bitmapScan(timeline, connection, 0, 1);
            Scan with = bitmapScan(timeline, connection, 64, 50_001);
            assertTrue(without.misses > 100, "each block is missing: " + without);
            assertTrue(with.ahead > without.ahead + 100, "asked ahead: " + with + " without: " + without);
            assertTrue(with.misses < without.misses, with + " without: " + without);
            assertTrue(with.waited < without.waited / 2, with + " without: " + without);
        }
        timeline.kill();
    }

    private record Scan(double misses, double ahead, double waited) {}

    /** Reads a row of every twelfth block of half the table. */
    private static Scan bitmapScan(TestTimelines.Timeline timeline, Connection connection, int concurrency, int from)
            throws SQLException {
        String query = "SELECT count(filler) FROM big WHERE id = ANY (ARRAY(SELECT generate_series(%d, %d, 397)))"
                .formatted(from, from + 49_999);
        Workload.run(connection, "SET effective_io_concurrency = " + concurrency);
        String plan = Workload.ask(connection, "EXPLAIN " + query);
        assertTrue(plan.contains("Bitmap Heap Scan"), plan);
        double misses = metered(timeline, "misses");
        double ahead = metered(timeline, "read.ahead");
        double waited = metered(timeline, "wait.seconds");
        assertEquals("126", Workload.ask(connection, query));
        return new Scan(
                metered(timeline, "misses") - misses,
                metered(timeline, "read.ahead") - ahead,
                metered(timeline, "wait.seconds") - waited);
    }

    @Test
    void givenObjectStorageAway_whenReadAndWritten_thenReadsWaitAndWritersGoOn() throws Exception {
        AbsentStore store = new AbsentStore(timelines.objects);
        ReadThroughSettings settings = new ReadThroughSettings(
                Duration.ofSeconds(3), Duration.ofSeconds(1), Duration.ofMillis(50), Long.MAX_VALUE);
        TestTimelines.Timeline timeline = timelines.timeline(store, settings);
        filled(timeline);
        timeline.start();
        try (Connection writer = timeline.connect();
                Connection reader = timeline.connect()) {
            Workload.run(writer, "CREATE TABLE small (id int)", "INSERT INTO small SELECT generate_series(1, 1000)");
            assertEquals("1", Workload.ask(reader, "SELECT count(*) FROM (SELECT filler FROM big LIMIT 1) t"));
            store.away = true;

            CompletableFuture<String> waiting = CompletableFuture.supplyAsync(() -> {
                try {
                    return Workload.ask(reader, "SELECT count(*) FROM (SELECT filler FROM big LIMIT 30000) t");
                } catch (SQLException e) {
                    throw new IllegalStateException(e);
                }
            });
            Workload.run(writer, "INSERT INTO small SELECT generate_series(1, 1000)");
            assertFalse(waiting.isDone(), "a read waits for its blocks");
            store.away = false;
            assertEquals("30000", waiting.get(10, TimeUnit.SECONDS));

            store.away = true;
            SQLException failed = assertThrows(SQLException.class, () -> Workload.ask(reader, ROWS));
            assertEquals("58030", failed.getSQLState(), failed.getMessage());
            Workload.run(writer, "INSERT INTO small SELECT generate_series(1, 1000)");
            store.away = false;
            assertEquals(EXPECTED, Workload.ask(reader, ROWS));
            assertEquals("3000", Workload.ask(reader, "SELECT count(*) FROM small"));
        }
        timeline.kill();
    }

    @Test
    void givenADamagedLayer_whenItsBlocksAreRead_thenTheQueryFailsAndNothingOfItIsServed() throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        Manifest manifest = filled(timeline);
        String name = manifest.layers().getFirst().name();
        Path layer =
                timelines.root.resolve("objects").resolve("timelines/" + timeline.base.timeline() + "/layers/" + name);
        timeline.start();
        try (Connection connection = timeline.connect()) {
            assertEquals("42", Workload.ask(connection, "SELECT id FROM big WHERE id = 42"));
            try (RandomAccessFile file = new RandomAccessFile(layer.toFile(), "rw")) {
                // The index is in memory already; every group of blocks is damaged.
                for (long at = 32; at < file.length() - 4096; at += 64) {
                    file.seek(at);
                    int bits = file.read();
                    file.seek(at);
                    file.write(bits ^ 1);
                }
            }
            long began = System.nanoTime();
            SQLException failed = assertThrows(SQLException.class, () -> Workload.ask(connection, ROWS));
            assertEquals("58030", failed.getSQLState(), failed.getMessage());
            assertTrue(System.nanoTime() - began < TimeUnit.SECONDS.toNanos(10), "it is not waited for");
            assertEquals("1", Workload.ask(connection, "SELECT 1"), "the database goes on");
        }
        timeline.kill();
    }

    @Test
    void givenAGenerationThatReadsASnapshot_whenOldOnesAreDeleted_thenItsStays() throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        Manifest first = filled(timeline);
        timeline.start();
        String holds = "timelines/" + timeline.base.timeline() + "/held/";
        Awaitility.await("it says what it reads")
                .atMost(TestTimelines.PATIENCE)
                .until(() -> timelines.objects.list(holds).size() == 1);
        try (Connection connection = timeline.connect()) {
            Workload.run(
                    connection,
                    "INSERT INTO big SELECT id, repeat('y', 200) FROM generate_series(1, 50000) id",
                    "CHECKPOINT");
            // A snapshot of what the generation has written so far, as if it had been made long ago.
            RedoWorker worker = timelines.redoWorker(timelines.objects);
            Manifest second = Awaitility.await("a snapshot with the checkpoint")
                    .atMost(TestTimelines.PATIENCE)
                    .until(
                            () -> worker.advance(timeline.running(timeline.quorumPosition()))
                                    .newest()
                                    .orElseThrow(),
                            made -> made.end().isAfter(first.end()));
            long muchLater = second.madeAtMillis() + Duration.ofDays(1).toMillis();
            List<String> deleted = SnapshotRetention.collect(store(timeline), muchLater, Duration.ofMinutes(10))
                    .deleted();
            assertEquals(List.of(), deleted);
            assertEquals("150000", Workload.ask(connection, "SELECT count(*) FROM big"));
        }
        timeline.stop();
        Awaitility.await("it says so no more")
                .atMost(TestTimelines.PATIENCE)
                .until(() -> timelines.objects.list(holds).isEmpty());
        long muchLater = System.currentTimeMillis() + Duration.ofDays(1).toMillis();
        assertEquals(
                1,
                SnapshotRetention.collect(store(timeline), muchLater, Duration.ofMinutes(10)).deleted().stream()
                        .filter(key -> key.contains("/snapshots/"))
                        .count());
    }

    @Test
    void givenWalThatIsCovered_whenSafekeepersHaveRemovedIt_thenALostOneAndTheNextGenerationBeginAtTheHorizon()
            throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        Manifest snapshot = filled(timeline);
        Lsn horizon = snapshot.walStart();
        assertTrue(horizon.minus(timeline.base.start()) > 3L * timeline.base.segmentSize(), "horizon=" + horizon);
        timeline.start();
        timeline.quorum.tell(new QuorumCommand.Horizon(horizon));
        for (SafekeeperId id : SafekeeperId.ALL) {
            awaitTrimmed(timeline, id, horizon);
        }
        SafekeeperId lost = SafekeeperId.ALL.getLast();
        timelines.safekeepers.stop(lost);
        FileTree.delete(timelines.safekeepers.directory(lost));
        timelines.safekeepers.start(lost);
        awaitTrimmed(timeline, lost, horizon);
        try (Connection connection = timeline.connect()) {
            Workload.run(connection, "INSERT INTO big VALUES (100001, repeat('x', 200))");
        }
        timeline.stop();

        timeline.start();
        try (Connection connection = timeline.connect()) {
            assertEquals("100001 5000150001", Workload.ask(connection, ROWS));
        }
        timeline.stop();

        // The snapshot is lost: the one before it is the base image, and its WAL is in the archive.
        for (String key : timelines.objects.list("timelines/" + timeline.base.timeline() + "/snapshots/")) {
            timelines.objects.delete(key);
        }
        timeline.start();
        try (Connection connection = timeline.connect()) {
            assertEquals("100001 5000150001", Workload.ask(connection, ROWS));
        }
        timeline.kill();
    }

    @Test
    void givenAWriterThatRunsOn_whenItsWalIsInASnapshot_thenSafekeepersRemoveItAndALostOneBeginsAtTheHorizon()
            throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        timeline.start();
        Manifest snapshot;
        try (Connection connection = timeline.connect()) {
            Workload.run(
                    connection,
                    "CREATE TABLE big (id int PRIMARY KEY, filler text)",
                    "INSERT INTO big SELECT i, repeat('x', 200) FROM generate_series(1, 100000) i",
                    "CHECKPOINT");
            Lsn end = Lsn.parse(Workload.ask(connection, "SELECT pg_current_wal_flush_lsn()"));
            snapshot = timelines
                    .redoWorker(timelines.objects)
                    .advance(timeline.running(end))
                    .newest()
                    .orElseThrow();
        }
        Lsn horizon = snapshot.walStart();
        assertTrue(horizon.minus(timeline.base.start()) > 3L * timeline.base.segmentSize(), "horizon=" + horizon);

        timeline.quorum.tell(new QuorumCommand.Horizon(horizon));
        for (SafekeeperId id : SafekeeperId.ALL) {
            awaitTrimmed(timeline, id, horizon);
        }
        SafekeeperId lost = SafekeeperId.ALL.getLast();
        timelines.safekeepers.stop(lost);
        FileTree.delete(timelines.safekeepers.directory(lost));
        timelines.safekeepers.start(lost);
        awaitTrimmed(timeline, lost, horizon);
        try (Connection connection = timeline.connect()) {
            // With another one away it takes the one that was lost to commit.
            Awaitility.await(lost + " follows")
                    .atMost(TestTimelines.PATIENCE)
                    .until(() -> Workload.ask(
                                    connection,
                                    "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND flush_lsn >= '"
                                            + horizon + "' AND application_name = '" + lost.value() + "'")
                            .equals("1"));
            timelines.safekeepers.stop(SafekeeperId.ALL.getFirst());
            Workload.run(connection, "INSERT INTO big VALUES (100001, repeat('x', 200))");
        }
        timeline.kill();
        timelines.safekeepers.start(SafekeeperId.ALL.getFirst());

        timeline.start();
        try (Connection connection = timeline.connect()) {
            assertEquals("100001 5000150001", Workload.ask(connection, ROWS));
        }
        timeline.kill();
    }

    private static void awaitHeld(TestTimelines.Timeline timeline, Manifest snapshot) {
        Awaitility.await("it reads the new snapshot, and no other")
                .atMost(TestTimelines.PATIENCE)
                .until(() -> timeline.reads(snapshot));
    }

    /** Each row must have the version that the one before wrote. */
    private static void update(Connection connection, int[] versions, Random random, int rows) throws SQLException {
        try (PreparedStatement update =
                connection.prepareStatement("UPDATE big SET version = version + 1 WHERE id = ? RETURNING version")) {
            for (int i = 0; i < rows; i++) {
                int id = random.nextInt(versions.length);
                update.setInt(1, id);
                try (ResultSet row = update.executeQuery()) {
                    assertTrue(row.next(), "row is there: id=" + id);
                    versions[id]++;
                    assertEquals(versions[id], row.getInt(1), "version of id=" + id);
                }
            }
        }
    }

    @Test
    void givenWritesThatAreMoreThanTheCacheHolds_whenSnapshotsHaveThem_thenTheDiskStaysSmallAndNothingReadIsStale()
            throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        RedoWorker worker = timelines.redoWorker(timelines.objects);
        int rows = 35_000;
        timeline.start();
        try (Connection connection = timeline.connect()) {
            Workload.run(
                    connection,
                    "CREATE TABLE big (id int PRIMARY KEY, version int NOT NULL, filler text) WITH (fillfactor = 40)",
                    "INSERT INTO big SELECT i, 0, repeat('x', 400) FROM generate_series(0, " + (rows - 1) + ") i");
        }
        timeline.stop();
        assertTrue(worker.advance(timeline.job(timeline.prepare())).newest().isPresent());
        timeline.limitCache(16);
        timeline.start();
        int[] versions = new int[rows];
        Random random = new Random(rows);
        try (Connection connection = timeline.connect();
                Connection writer = timeline.connect();
                Connection holder = timeline.connect()) {
            Path table = timeline.pgdata().resolve(Workload.ask(connection, "SELECT pg_relation_filepath('big')"));
            for (int round = 0; round < 2; round++) {
                Workload.run(connection, "UPDATE big SET version = version + 1", "CHECKPOINT");
                for (int id = 0; id < rows; id++) {
                    versions[id]++;
                }
                assertTrue(diskUse(table) > 32 << 20, "what no snapshot has stays: bytes=" + diskUse(table));
                CompletableFuture<Void> writing = CompletableFuture.runAsync(() -> {
                    try {
                        update(writer, versions, random, 3000);
                    } catch (SQLException e) {
                        throw new IllegalStateException(e);
                    }
                });
                Manifest snapshot = timeline.publish(worker, connection);
                awaitHeld(timeline, snapshot);
                writing.get(1, TimeUnit.MINUTES);
                awaitHeld(timeline, timeline.publish(worker, connection));
                Awaitility.await("the disk is small again")
                        .atMost(TestTimelines.PATIENCE)
                        .until(() -> diskUse(table) < 24 << 20);
                long sum = 0;
                for (int version : versions) {
                    sum += version;
                }
                assertEquals(
                        rows + " " + sum, Workload.ask(connection, "SELECT count(*) || ' ' || sum(version) FROM big"));
            }

            // What a running transaction has written is not taken from a snapshot: that has lost its command ids.
            List<String> before = timeline.held();
            Workload.run(
                    holder,
                    "BEGIN",
                    "UPDATE big SET version = -1 WHERE id < 1000",
                    "DECLARE before CURSOR FOR SELECT count(*) FROM big WHERE version = -1",
                    "UPDATE big SET version = -2 WHERE id < 1000");
            Manifest withHalf = timeline.publish(worker, connection);
            Awaitility.await("it goes on reading the snapshot it has, and keeps the one it will read")
                    .during(Duration.ofMillis(2500))
                    .atMost(TestTimelines.PATIENCE)
                    .until(() -> {
                        List<String> held = timeline.held();
                        return held.size() == 2 && held.containsAll(before);
                    });
            Manifest later = timeline.publish(worker, connection);
            long muchLater = later.madeAtMillis() + Duration.ofDays(1).toMillis();
            SnapshotRetention.collect(store(timeline), muchLater, Duration.ofMinutes(10));
            assertTrue(store(timeline).has(withHalf), "it waits for the transactions that were running then");
            Workload.ask(connection, "SELECT sum(length(filler)) FROM big");
            assertEquals("1000", Workload.ask(holder, "FETCH before"));
            Workload.run(holder, "ROLLBACK");
            awaitHeld(timeline, later);
            update(connection, versions, random, 3000);
            Workload.run(connection, "CREATE EXTENSION IF NOT EXISTS amcheck");
            Workload.run(connection, "SELECT bt_index_check('big_pkey', true)");
            assertEquals("", Workload.ask(connection, "SELECT msg FROM verify_heapam('big')"));
        }
        timeline.kill();
    }

    @Test
    void givenANewTableThatIsMoreThanTheCacheHolds_whenASnapshotHasIt_thenTheDiskStaysSmallAndAllIsRight()
            throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        filled(timeline);
        RedoWorker worker = timelines.redoWorker(timelines.objects);
        timeline.limitCache(16);
        timeline.start();
        try (Connection connection = timeline.connect()) {
            Path relations = timeline.pgdata().resolve("base");
            long before = diskUse(relations);
            String sums = "SELECT count(*) || ' ' || sum(id) || ' ' || sum(length(filler)) FROM ";
            Workload.run(
                    connection,
                    "CREATE EXTENSION IF NOT EXISTS amcheck",
                    "CREATE TABLE fresh (id int PRIMARY KEY, filler text)",
                    "INSERT INTO fresh SELECT i, repeat('y', 450) FROM generate_series(1, 80000) i",
                    "INSERT INTO big SELECT i, repeat('x', 200) FROM generate_series(100001, 200000) i",
                    "CREATE INDEX ON fresh (length(filler), id)",
                    // A change that is no part of the tables: free space maps, hints, all-visible bits.
                    "VACUUM fresh, big");
            assertTrue(diskUse(relations) > before + (60 << 20), "bytes=" + diskUse(relations));
            for (int round = 0; round < 2; round++) {
                awaitHeld(timeline, timeline.publish(worker, connection));
                Awaitility.await("the disk is small")
                        .atMost(TestTimelines.PATIENCE)
                        .until(() -> diskUse(relations) < before + (24 << 20));
                assertEquals("80000 3200040000 36000000", Workload.ask(connection, sums + "fresh"));
                assertEquals("200000 20000100000 40000000", Workload.ask(connection, sums + "big"));
                Workload.run(
                        connection,
                        "SELECT bt_index_check('fresh_pkey', true)",
                        "SELECT bt_index_check('fresh_length_id_idx', true)");
                assertEquals("", Workload.ask(connection, "SELECT msg FROM verify_heapam('fresh')"));
                assertEquals("", Workload.ask(connection, "SELECT msg FROM verify_heapam('big')"));
            }
            Workload.run(
                    connection,
                    "DELETE FROM fresh WHERE id > 20000",
                    "VACUUM fresh",
                    "INSERT INTO fresh SELECT i, repeat('z', 450) FROM generate_series(20001, 80000) i",
                    "CREATE TABLE gone AS SELECT * FROM fresh",
                    "DROP TABLE gone",
                    "TRUNCATE big",
                    "INSERT INTO big SELECT i, repeat('x', 200) FROM generate_series(1, 100000) i");
            awaitHeld(timeline, timeline.publish(worker, connection));
            assertEquals("80000 3200040000 36000000", Workload.ask(connection, sums + "fresh"));
            assertEquals(EXPECTED, Workload.ask(connection, ROWS));
            Workload.run(connection, "SELECT bt_index_check('fresh_pkey', true)");
            assertEquals("", Workload.ask(connection, "SELECT msg FROM verify_heapam('fresh')"));
        }
        timeline.kill();

        timeline.start();
        try (Connection connection = timeline.connect()) {
            assertEquals("80000 3200040000", Workload.ask(connection, "SELECT count(*) || ' ' || sum(id) FROM fresh"));
            assertEquals(EXPECTED, Workload.ask(connection, ROWS));
        }
        timeline.kill();
    }

    @Test
    void givenADatabaseWithoutASnapshot_whenItIsFilledAndThereIsOne_thenTheDiskBecomesSmall() throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        RedoWorker worker = timelines.redoWorker(timelines.objects);
        timeline.limitCache(8);
        timeline.start();
        try (Connection connection = timeline.connect()) {
            Workload.run(
                    connection,
                    "CREATE TABLE big AS SELECT id, repeat('x', 200) AS filler FROM generate_series(1, 200000) id",
                    "VACUUM big");
            Path table = timeline.pgdata().resolve(Workload.ask(connection, "SELECT pg_relation_filepath('big')"));
            assertTrue(diskUse(table) > 40 << 20, "bytes=" + diskUse(table));
            awaitHeld(timeline, timeline.publish(worker, connection));
            Awaitility.await("the disk is small").atMost(TestTimelines.PATIENCE).until(() -> diskUse(table) < 12 << 20);
            assertEquals("200000 20000100000", Workload.ask(connection, ROWS));
        }
        timeline.kill();
    }

    @Test
    void givenALargeTable_whenALittleOfItIsChanged_thenRedoReadsLittle() throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        Manifest first = filled(timeline);
        timeline.start();
        try (Connection connection = timeline.connect()) {
            Workload.run(connection, "UPDATE big SET filler = 'y' WHERE id % 10000 = 0");
        }
        timeline.stop();
        AbsentStore counted = new AbsentStore(timelines.objects);
        Manifest second = timelines
                .redoWorker(counted)
                .advance(timeline.job(timeline.prepare()))
                .newest()
                .orElseThrow();
        assertTrue(second.end().isAfter(first.end()));
        long all = first.layers().stream().mapToLong(Layer::bytes).sum();
        assertTrue(counted.bytesRead.get() < all / 4, "bytes=" + counted.bytesRead.get() + " all=" + all);
        timeline.start();
        try (Connection connection = timeline.connect()) {
            assertEquals("10", Workload.ask(connection, "SELECT count(*) FROM big WHERE filler = 'y'"));
            assertEquals("100000", Workload.ask(connection, "SELECT count(*) FROM big"));
        }
        timeline.kill();
    }

    /** The Safekeeper has WAL from the horizon on, and none before it. */
    private static void awaitTrimmed(TestTimelines.Timeline timeline, SafekeeperId id, Lsn horizon) {
        Path directory = timelines.safekeepers.directory(id);
        Awaitility.await(id + " begins at " + horizon)
                .atMost(TestTimelines.PATIENCE)
                .until(() -> {
                    List<Long> segments =
                            segments(directory, timeline.base.timeline().value(), timeline.base.segmentSize());
                    return !segments.isEmpty()
                            && segments.stream()
                                    .allMatch(number -> number >= horizon.segment(timeline.base.segmentSize()));
                });
    }

    private static List<Long> segments(Path directory, String timeline, int segmentSize) throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            return files.filter(file -> file.toString().contains(timeline))
                    .map(file -> WalSegmentName.parse(file.getFileName().toString(), segmentSize))
                    .flatMap(Optional::stream)
                    .map(WalSegmentName.Parsed::number)
                    .toList();
        }
    }
}
