package io.spg99.nodes.pageserver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.readthrough.ReadThroughLibrary;
import io.spg99.storage.readthrough.RelationFile;
import io.spg99.storage.snapshot.Manifest;
import io.spg99.storage.snapshot.SnapshotFile;
import io.spg99.storage.snapshot.SnapshotReader;
import io.spg99.storage.snapshot.SnapshotStore;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

/** Snapshots by real PostgreSQL over the WAL of real writers. */
class RedoWorkerTest {

    private static TestTimelines timelines;

    @BeforeAll
    static void begin() throws Exception {
        timelines = new TestTimelines();
    }

    @AfterAll
    static void end() throws Exception {
        timelines.close();
    }

    @Test
    void givenAWriterThatStopped_whenRedoRuns_thenTheNextStartsOnTheSnapshotWithNothingToReplay() throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        timeline.start();
        Map<String, String> before;
        try (Connection connection = timeline.connect()) {
            Workload.create(connection);
            new Workload(1).change(connection, 0);
            before = Workload.fingerprint(connection);
        }
        timeline.stop();

        QuorumReply.Prepared prepared = timeline.prepare();
        Manifest snapshot = timelines
                .redoWorker(timelines.objects)
                .advance(timeline.job(prepared))
                .newest()
                .orElseThrow();

        assertEquals(prepared.end(), snapshot.end(), "an orderly stop ends with a checkpoint record");
        assertTrue(prepared.end().minus(snapshot.redo()) < 200, "nothing to replay: redo=" + snapshot.redo());
        timeline.start(prepared);
        try (Connection connection = timeline.connect()) {
            assertEquals(before, Workload.fingerprint(connection));
            Workload.check(connection);
        }
        timeline.kill();
    }

    @Test
    void givenAnOrderlyStop_whenTheNextStarts_thenSequencesStatisticsAndFreeSpaceGoOn() throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        timeline.start();
        try (Connection connection = timeline.connect()) {
            Workload.run(
                    connection,
                    "CREATE SEQUENCE a",
                    "CREATE SEQUENCE \"b'C\" INCREMENT 5",
                    "CREATE TABLE t (id int, v text)",
                    "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i",
                    "DELETE FROM t WHERE id % 2 = 0",
                    "VACUUM t",
                    "SELECT nextval('a'), nextval('\"b''C\"')",
                    "SELECT pg_stat_force_next_flush()");
        }
        timeline.stop();
        for (boolean snapshot : new boolean[] {false, true}) {
            QuorumReply.Prepared prepared = timeline.prepare();
            if (snapshot) {
                timelines.redoWorker(timelines.objects).advance(timeline.job(prepared));
            }
            timeline.start(prepared);
            try (Connection connection = timeline.connect()) {
                assertEquals(snapshot ? "3" : "2", Workload.ask(connection, "SELECT nextval('a')"));
                assertEquals(snapshot ? "11" : "6", Workload.ask(connection, "SELECT nextval('\"b''C\"')"));
                long inserted = Long.parseLong(
                        Workload.ask(connection, "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 't'"));
                assertTrue(inserted >= 20_000, "n_tup_ins=" + inserted);
                String size = Workload.ask(connection, "SELECT pg_relation_size('t')");
                Workload.run(connection, "INSERT INTO t SELECT 0, repeat('x', 100) FROM generate_series(1, 100)");
                assertEquals(
                        size, Workload.ask(connection, "SELECT pg_relation_size('t')"), "free space is used again");
            }
            timeline.stop();
        }
    }

    @Test
    void givenRedoThatTakesLongerThanItMay_whenTriedAgain_thenItMayTakeLongerUntilItIsDone() throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        timeline.start();
        try (Connection connection = timeline.connect()) {
            Workload.create(connection);
        }
        timeline.stop();
        RedoJob job = timeline.job(timeline.prepare());
        PageserverSettings hurried = PageserverSettings.defaults().withRedoDeadline(Duration.ofMillis(2));
        RedoWorker worker = timelines.redoWorker(timelines.objects, hurried);

        IOException e = assertThrows(IOException.class, () -> worker.advance(job));
        assertTrue(String.valueOf(e.getMessage()).contains("redo did not end in time"), e.getMessage());

        Manifest made = Awaitility.await("a snapshot")
                .atMost(TestTimelines.PATIENCE.multipliedBy(2))
                .ignoreExceptionsInstanceOf(IOException.class)
                .until(() -> worker.advance(job).newest().orElseThrow(), snapshot -> true);
        assertEquals(job.end(), made.end());
    }

    /**
     * {@code -Dspg99.generations=30} for the long round; the seed of a failure is in its message. The cache is far smaller than the
     * database, and the generations go over to snapshots of what they write themselves.
     */
    @Test
    void givenGenerationsStoppedAndKilledAtWork_whenSnapshotsAreTakenNowAndThen_thenNothingIsLost() throws Exception {
        int generations = Integer.getInteger("spg99.generations", 4);
        long seed = Long.getLong("spg99.seed", System.nanoTime());
        Random random = new Random(seed);
        Rounds rounds = new Rounds(seed);
        TestTimelines.Timeline timeline = rounds.timeline;
        try {
            for (int round = 0; round <= generations; round++) {
                QuorumReply.Prepared prepared = timeline.prepare();
                if (round > 0 && (random.nextInt(4) > 0 || round == generations)) {
                    rounds.snapshot(timeline.job(prepared), generations > 10 ? random.nextInt(5) == 0 : round == 3);
                }
                timeline.start(prepared);
                try (Connection connection = timeline.connect()) {
                    if (round > 0) {
                        rounds.check(connection);
                    }
                    if (round < generations) {
                        rounds.change(connection, round);
                        rounds.load.start();
                        // In the short round not all of them: each costs some seconds.
                        if (round % 3 == 1 || generations > 10) {
                            rounds.goOver(connection);
                        }
                        rounds.load.progress(1 + random.nextInt(generations > 10 ? 20 : 3));
                    }
                }
                if (round == generations || random.nextBoolean()) {
                    rounds.kill();
                } else {
                    rounds.stop();
                }
            }
            System.out.printf(
                    "[figures] mixed workload: generations=%d killed=%d snapshots=%d gone over=%d evictions=%.0f %s%n",
                    generations,
                    rounds.killed,
                    rounds.snapshots,
                    rounds.goneOver,
                    timeline.meters
                            .get("spg99.read.through.evictions")
                            .functionCounter()
                            .count(),
                    rounds.load);
        } catch (AssertionError | Exception e) {
            throw new AssertionError("seed=" + seed, e);
        }
    }

    /** One timeline and what must be there. */
    private static final class Rounds {
        final TestTimelines.Timeline timeline = timelines.timeline();
        final Load load = new Load(timeline);
        final Workload workload;
        RedoWorker worker = timelines.redoWorker(timelines.objects);
        Map<String, String> content = Map.of();
        Map<String, Long> sequences = Map.of();

        /** The last generation stopped in order: sequences are where they were. */
        boolean settled;

        int snapshots;
        int goneOver;
        int killed;

        Rounds(long seed) throws IOException {
            workload = new Workload(seed);
            if (ReadThroughLibrary.install(timelines.root.resolve("native")).isPresent()) {
                timeline.limitCache(8);
            }
        }

        /** @param lost the Pageserver's directory is deleted while it is at work; an empty one follows it */
        void snapshot(RedoJob job, boolean lost) throws Exception {
            if (lost) {
                loseDirectory(worker, timeline, job, !Boolean.getBoolean("spg99.long") || killed % 2 == 0);
                worker = timelines.redoWorker(timelines.objects);
            }
            snapshots += worker.advance(job).newest().isPresent() ? 1 : 0;
        }

        private Map<String, String> content(Connection connection) throws SQLException {
            Map<String, String> found = Workload.fingerprint(connection);
            for (String inside : Workload.databases(connection).lines().toList()) {
                try (Connection there = timeline.connect(inside)) {
                    Workload.fingerprint(there).forEach((name, value) -> found.put(inside + "." + name, value));
                }
            }
            return found;
        }

        /** After a start. */
        void check(Connection connection) throws SQLException {
            assertEquals(content, content(connection));
            Map<String, Long> now = Workload.sequences(connection);
            if (settled) {
                assertEquals(sequences, now);
            } else {
                sequences.forEach((name, before) -> {
                    long ahead = now.getOrDefault(name, 0L) - before;
                    assertTrue(ahead >= 0 && ahead <= 2 * 33, name + " before=" + before + " ahead=" + ahead);
                });
            }
            assertEquals("0", Workload.ask(connection, "SELECT count(*) FROM volatile"));
            load.check(connection);
            Workload.check(connection);
            for (String inside : Workload.databases(connection).lines().toList()) {
                try (Connection there = timeline.connect(inside)) {
                    // A transaction that is prepared elsewhere keeps rows that are dead from being removed in the eyes
                    // of
                    // verify_heapam, but not in those of this database, which has removed what they had in TOAST.
                    Workload.run(there, "VACUUM things");
                    Workload.checkPages(there);
                }
            }
        }

        void change(Connection connection, int round) throws SQLException {
            if (round == 0) {
                Workload.create(connection);
                Load.create(connection);
                try (Connection plain = timeline.connect("plain")) {
                    Workload.createInside(plain);
                }
            }
            workload.change(connection, round);
            for (String inside : Workload.databases(connection).lines().toList()) {
                try (Connection there = timeline.connect(inside)) {
                    Workload.changeInside(there, round);
                }
            }
            Workload.run(connection, "BEGIN", "INSERT INTO promised VALUES (%d)".formatted(round));
            Workload.run(connection, "PREPARE TRANSACTION 'round %d'".formatted(round));
            if (round > 1) {
                Workload.run(connection, "COMMIT PREPARED 'round %d'".formatted(round - 2));
            }
            content = content(connection);
            sequences = Workload.sequences(connection);
        }

        /** What is read after it, is read from a snapshot of what this generation has written, with everybody at work. */
        void goOver(Connection connection) throws Exception {
            Manifest made = timeline.publish(worker, connection);
            snapshots++;
            Awaitility.await("the generation reads the new snapshot")
                    .atMost(TestTimelines.PATIENCE)
                    .until(() -> timeline.reads(made));
            goneOver++;
            assertEquals(content, content(connection));
            assertEquals(
                    Integer.toString(Workload.VOLATILE), Workload.ask(connection, "SELECT count(v) FROM volatile"));
            Workload.checkMeanwhile(connection);
        }

        void kill() throws Exception {
            timeline.kill();
            load.end();
            settled = false;
            killed++;
        }

        /** With clients at work, who are in the middle of transactions. */
        void stop() throws Exception {
            long began = System.nanoTime();
            timeline.stop();
            // A stop does not wait longer for the sequences.
            settled = System.nanoTime() - began < TimeUnit.SECONDS.toNanos(2);
            load.end();
        }
    }

    /**
     * Deletes everything below the Pageserver's directory.
     *
     * @param replayed not as soon as PostgreSQL replays there, but when it has ended; it waits half a minute for the blocks that
     *                 nobody brings
     */
    private static void loseDirectory(RedoWorker worker, TestTimelines.Timeline timeline, RedoJob job, boolean replayed)
            throws Exception {
        Path directory = timelines.root.resolve("redo");
        Path pgdata = directory.resolve(timeline.base.timeline().value());
        Path pid = pgdata.resolve("postmaster.pid");
        CompletableFuture<?> run = advanceInBackground(worker, job);
        Awaitility.await("redo runs")
                .atMost(TestTimelines.PATIENCE)
                .pollInterval(Duration.ofMillis(1))
                .until(() -> run.isDone() || Files.exists(pid));
        Awaitility.await("redo has ended")
                .atMost(TestTimelines.PATIENCE)
                .pollInterval(Duration.ofMillis(1))
                .until(() -> !replayed || run.isDone() || !Files.exists(pid));
        try (Stream<Path> all = Files.list(directory)) {
            for (Path each : all.toList()) {
                FileTree.delete(each);
            }
        }
        try {
            run.get(2, TimeUnit.MINUTES);
        } catch (ExecutionException e) {
            // Or it was done already.
        }
    }

    /**
     * In the long round each call in turn fails, once before it has done anything and once with its answer lost, and one read in
     * ten; a few of them otherwise.
     */
    @Test
    void givenObjectStorageThatFailsOnce_whenRedoIsTriedAgain_thenTheSnapshotIsTheSame() throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        RedoJob job = twoGenerations(timeline);
        FailingStore whole = FailingStore.none(timelines.objects);
        Manifest expected = timelines.redoWorker(whole).advance(job).newest().orElseThrow();
        Map<String, String> content = files(timeline, whole, expected);
        int failed = 0;
        for (FailingStore store : failingStores(whole)) {
            try {
                timelines.redoWorker(store).advance(job);
            } catch (IOException e) {
                failed++;
            }
            store.mend();
            Manifest newest =
                    new SnapshotStore(store, timeline.base.timeline()).newest().orElseThrow();
            if (newest.end().equals(expected.end())) {
                assertEquals(content, files(timeline, store, newest), "published with " + store);
            }
            Manifest made = timelines.redoWorker(store).advance(job).newest().orElseThrow();
            assertEquals(expected.end(), made.end());
            assertEquals(content, files(timeline, store, made), "after " + store);
        }
        System.out.printf("[figures] redo: calls=%d reads=%d failed runs=%d%n", whole.calls(), whole.parts(), failed);
        assertTrue(failed > 2, "failed runs: " + failed);
    }

    private static List<FailingStore> failingStores(FailingStore whole) {
        boolean all = Boolean.getBoolean("spg99.long");
        List<FailingStore> stores = new ArrayList<>();
        for (int i = 0; i < whole.calls() * 2; i += all ? 1 : (whole.calls() / 2) | 1) {
            stores.add(new FailingStore(timelines.objects, false, i / 2 + 1, i % 2 == 1));
        }
        // A read is made again while PostgreSQL waits, but not those of the indexes of layers.
        for (int i = 0; i < whole.parts(); i += all ? 10 : whole.parts()) {
            stores.add(new FailingStore(timelines.objects, true, i + 1, false));
        }
        return stores;
    }

    @Test
    void givenRedoAtWork_whenItsPostgresIsKilled_thenNothingIsPublishedButWhatIsWhole() throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        RedoJob job = twoGenerations(timeline);
        FailingStore whole = FailingStore.none(timelines.objects);
        Manifest expected = timelines.redoWorker(whole).advance(job).newest().orElseThrow();
        Map<String, String> content = files(timeline, whole, expected);
        int rounds = Boolean.getBoolean("spg99.long") ? 30 : 3;
        int failed = 0;
        Random random = new Random(rounds);
        for (int round = 0; round < rounds; round++) {
            FailingStore store = FailingStore.none(timelines.objects);
            CompletableFuture<Optional<Manifest>> run = advanceInBackground(timelines.redoWorker(store), job);
            kill(timeline, run, random.nextInt(100), round % 2 == 1);
            try {
                run.get(1, TimeUnit.MINUTES);
            } catch (ExecutionException e) {
                failed++;
            }
            Manifest made = timelines.redoWorker(store).advance(job).newest().orElseThrow();
            assertEquals(expected.end(), made.end());
            assertEquals(content, files(timeline, store, made), "round " + round);
        }
        System.out.println("[figures] redo: killed=" + rounds + " failed runs=" + failed);
        assertTrue(failed > 0, "a run that was killed is not one that has ended");
    }

    private static CompletableFuture<Optional<Manifest>> advanceInBackground(RedoWorker worker, RedoJob job) {
        return CompletableFuture.supplyAsync(() -> {
            try {
                return worker.advance(job).newest();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }

    /** Of a server that replays: the postmaster, or the process that does it. */
    private static void kill(
            TestTimelines.Timeline timeline, CompletableFuture<?> run, int afterMillis, boolean startupProcess) {
        Path pid = timelines
                .root
                .resolve("redo")
                .resolve(timeline.base.timeline().value())
                .resolve("postmaster.pid");
        Awaitility.await("redo runs")
                .atMost(TestTimelines.PATIENCE)
                .pollInterval(Duration.ofMillis(1))
                .ignoreExceptions()
                .until(() -> run.isDone() || Files.readAllLines(pid).size() > 3);
        Awaitility.await("some time")
                .pollInterval(Duration.ofMillis(1))
                .pollDelay(Duration.ofMillis(afterMillis))
                .until(() -> true);
        try {
            ProcessHandle postmaster = ProcessHandle.of(
                            Long.parseLong(Files.readAllLines(pid).getFirst().strip()))
                    .orElseThrow();
            Optional<ProcessHandle> child = postmaster.children().reduce((first, last) -> last);
            (startupProcess ? child.orElse(postmaster) : postmaster).destroyForcibly();
        } catch (IOException | NoSuchElementException e) {
            // It has ended by itself.
        }
    }

    /** A snapshot of the first generation; the second has ended, too. */
    private static RedoJob twoGenerations(TestTimelines.Timeline timeline) throws Exception {
        timeline.start();
        try (Connection connection = timeline.connect()) {
            Workload.create(connection);
            new Workload(2).change(connection, 0);
        }
        timeline.stop();
        QuorumReply.Prepared prepared = timeline.prepare();
        assertTrue(timelines
                .redoWorker(timelines.objects)
                .advance(timeline.job(prepared))
                .newest()
                .isPresent());
        timeline.start(prepared);
        try (Connection connection = timeline.connect()) {
            new Workload(3).change(connection, 3);
        }
        timeline.stop();
        return timeline.job(timeline.prepare());
    }

    /** A hash of every relation's main fork, and of what else PostgreSQL replays into. */
    private static Map<String, String> files(TestTimelines.Timeline timeline, ObjectStore store, Manifest manifest)
            throws IOException {
        SnapshotReader reader = new SnapshotReader(
                new SnapshotStore(store, timeline.base.timeline()), manifest, timelines.images.files(manifest.image()));
        Map<String, String> found = new TreeMap<>();
        for (SnapshotFile file : manifest.files()) {
            // A free space map may differ: it is advice, and not always written to the WAL.
            if (file.path().matches("(base|global|pg_xact|pg_multixact|pg_twophase)/.*")
                    && !file.path().matches(".*_fsm|global/pg_control")) {
                CRC32C sum = new CRC32C();
                int blocks = (int) ((file.size() + RelationFile.BLOCK - 1) / RelationFile.BLOCK);
                if (blocks > 0) {
                    reader.read(
                            file,
                            0,
                            blocks,
                            (first, count, bytes, offset) -> sum.update(bytes, offset, count * RelationFile.BLOCK));
                }
                found.put(file.path(), file.size() + " " + sum.getValue());
            }
        }
        return found;
    }

    @Test
    void givenAMachineWithoutTheLibrary_whenGenerationsStartOnSnapshots_thenEverythingIsThereFromTheBeginning()
            throws Exception {
        TestTimelines.Timeline timeline = timelines.timelineWithoutReadThrough();
        RedoWorker worker = timelines.redoWorker(timelines.objects, Optional.empty());
        Workload workload = new Workload(5);
        timeline.start();
        Map<String, String> before;
        try (Connection connection = timeline.connect()) {
            Workload.create(connection);
            workload.change(connection, 0);
            before = Workload.fingerprint(connection);
        }
        timeline.kill();
        for (int round = 1; round < 3; round++) {
            QuorumReply.Prepared prepared = timeline.prepare();
            assertTrue(worker.advance(timeline.job(prepared)).newest().isPresent());
            timeline.start(prepared);
            assertEquals(List.of(), timeline.held(), "nothing is read from object storage any more");
            try (Connection connection = timeline.connect()) {
                assertEquals(before, Workload.fingerprint(connection));
                Workload.check(connection);
                // A snapshot of what it writes means nothing to a generation that has everything.
                workload.change(connection, round);
                timeline.publish(worker, connection);
                before = Workload.fingerprint(connection);
            }
            timeline.stop();
        }
    }

    @Test
    void givenTheArchiveOfSeveralGenerations_whenStockPostgresRestoresFromIt_thenItHasWhatTheyWrote() throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        RedoWorker worker = timelines.redoWorker(timelines.objects);
        Workload workload = new Workload(4);
        Map<String, String> before = Map.of();
        for (int round = 0; round < 3; round++) {
            if (round == 2) {
                // A generation that never started leaves a gap in the numbers.
                timeline.prepare();
            }
            QuorumReply.Prepared prepared = timeline.prepare();
            if (round > 0) {
                assertTrue(prepared.end().offset(timeline.base.segmentSize()) > 0, "generations meet in a segment");
                worker.advance(timeline.job(prepared));
            }
            timeline.start(prepared);
            try (Connection connection = timeline.connect()) {
                if (round == 0) {
                    Workload.create(connection);
                }
                workload.change(connection, round);
                before = Workload.fingerprint(connection);
                if (round == 2) {
                    // Only whole segments are archived.
                    Workload.run(connection, "SELECT pg_switch_wal()", "CHECKPOINT");
                    timeline.publish(worker, connection);
                }
            }
            if (round == 0) {
                timeline.stop();
            } else {
                timeline.kill();
            }
        }
        assertEquals(before, restored(timeline, "cp '%s/%%f' '%%p'".formatted(archive(timeline))));
    }

    /** A copy of the archive as PostgreSQL's user can read it. */
    private static Path archive(TestTimelines.Timeline timeline) throws IOException {
        Path copy = timelines.root.resolve("archive");
        String prefix = "timelines/" + timeline.base.timeline() + "/wal/";
        Files.createDirectory(copy);
        for (String key : timelines.objects.list(prefix)) {
            try (InputStream in = timelines.objects.open(key)) {
                Files.copy(in, copy.resolve(key.substring(prefix.length())));
            }
        }
        timelines.user.ownTree(copy);
        return copy;
    }

    /** What a server over the base image has that has replayed all it was given. */
    private static Map<String, String> restored(TestTimelines.Timeline timeline, String restoreCommand)
            throws Exception {
        Path pgdata = timelines.root.resolve("restored");
        timelines.images.layOut(timelines.images.key(), pgdata);
        timelines.images.materialize(timelines.images.key(), timeline.base, pgdata);
        for (Map.Entry<String, String> file : Map.of(
                        "postgresql.conf",
                        """
                        listen_addresses = ''
                        unix_socket_directories = '.'
                        recovery_target_timeline = '%d'
                        restore_command = '%s'
                        max_prepared_transactions = 100
                        fsync = off
                        """.formatted(timeline.generation(), restoreCommand.replace("'", "''")),
                        "postgresql.auto.conf",
                        "",
                        "pg_hba.conf",
                        "local all all trust\n",
                        "pg_ident.conf",
                        "",
                        "recovery.signal",
                        "")
                .entrySet()) {
            timelines.user.writePrivate(
                    pgdata.resolve(file.getKey()), file.getValue().getBytes(StandardCharsets.UTF_8));
        }
        PostgresProcess server = PostgresProcess.start(
                new PostgresProcess.Launch(timelines.binaries, timelines.user, pgdata, Map.of(), false, line -> {}));
        try {
            server.ready().toCompletableFuture().get(1, TimeUnit.MINUTES);
            try (Connection connection =
                    TestTimelines.connect(pgdata.resolve(".s.PGSQL.5432"), TestTimelines.DATABASE)) {
                Workload.check(connection);
                return Workload.fingerprint(connection);
            }
        } finally {
            server.kill();
            timelines.images.discard(timelines.images.key(), pgdata);
        }
    }

    @Test
    @EnabledIfSystemProperty(named = "spg99.long", matches = "true")
    void givenARelationOfMoreThanAGigabyteAndFiftyThousandSmallOnes_whenSnapshotsAreTaken_thenNothingIsLost()
            throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        RedoWorker worker = timelines.redoWorker(timelines.objects);
        timeline.start();
        Map<String, String> before;
        try (Connection connection = timeline.connect()) {
            Workload.create(connection);
            Workload.run(
                    connection, "CREATE TABLE huge (id int, v text)", "ALTER TABLE huge ALTER v SET STORAGE PLAIN");
            for (int part = 0; part < 20; part++) {
                Workload.run(
                        connection,
                        "INSERT INTO huge SELECT i, repeat(md5(i::text), 60) FROM generate_series(1, 30000) i"
                                + " WHERE i % 20 <> " + part);
            }
            for (int part = 0; part < 50; part++) {
                Workload.run(connection, """
                        DO $$ BEGIN FOR i IN 1..1000 LOOP
                            EXECUTE format('CREATE TABLE small_%d_%%s AS SELECT %%s AS n', i, i);
                        END LOOP; END $$""".formatted(part));
            }
            String segments = Workload.ask(connection, "SELECT pg_relation_size('huge') / (1 << 30)");
            assertEquals("1", segments, "full segments of a gigabyte");
            before = summary(connection);
        }
        timeline.stop();
        for (int round = 0; round < 2; round++) {
            QuorumReply.Prepared prepared = timeline.prepare();
            assertTrue(worker.advance(timeline.job(prepared)).newest().isPresent());
            timeline.start(prepared);
            try (Connection connection = timeline.connect()) {
                assertEquals(before, summary(connection));
                Workload.check(connection);
                Workload.run(
                        connection,
                        "UPDATE huge SET id = -id WHERE id % 1000 = " + round,
                        "UPDATE small_7_7 SET n = n + 1",
                        "DROP TABLE small_8_" + (round + 8),
                        "CHECKPOINT",
                        "DELETE FROM huge WHERE id % 3000 = " + (round + 1));
                before = summary(connection);
            }
            timeline.kill();
        }
        timeline.start();
        try (Connection connection = timeline.connect()) {
            assertEquals(before, summary(connection));
        }
        timeline.kill();
    }

    private static Map<String, String> summary(Connection connection) throws SQLException {
        return Map.of(
                "huge",
                Workload.ask(connection, "SELECT count(*) || ' ' || sum(hashtext(h::text)::bigint) FROM huge h"),
                "small",
                Workload.ask(
                        connection,
                        "SELECT count(*) FROM pg_class WHERE relname LIKE 'small%' AND pg_relation_size(oid) = 8192"),
                "rows",
                Workload.ask(
                        connection,
                        "SELECT string_agg(query_to_xml(format('SELECT n FROM %I', relname), true, true, '')::text, ',' ORDER BY relname)"
                                + " FROM pg_class WHERE relname LIKE 'small\\__\\_7'"));
    }
}
