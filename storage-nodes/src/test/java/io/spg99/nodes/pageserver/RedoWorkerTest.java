package io.spg99.nodes.pageserver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.snapshot.Manifest;
import java.io.IOException;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
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

    /** {@code -Dspg99.generations=30} for the long round; the seed of a failure is in its message. */
    @Test
    void givenGenerationsStoppedAndKilledAtRandom_whenSnapshotsAreTakenNowAndThen_thenNothingIsLost() throws Exception {
        int generations = Integer.getInteger("spg99.generations", 6);
        long seed = Long.getLong("spg99.seed", System.nanoTime());
        Random random = new Random(seed);
        Workload workload = new Workload(seed);
        TestTimelines.Timeline timeline = timelines.timeline();
        RedoWorker worker = timelines.redoWorker(timelines.objects);
        Map<String, String> before = Map.of();
        int snapshots = 0;
        try {
            for (int round = 0; round < generations; round++) {
                QuorumReply.Prepared prepared = timeline.prepare();
                if (round > 0 && random.nextInt(4) > 0) {
                    Optional<Manifest> made =
                            worker.advance(timeline.job(prepared)).newest();
                    snapshots += made.isPresent() ? 1 : 0;
                    if (random.nextInt(4) == 0) {
                        // The Pageserver's directory is lost.
                        worker = timelines.redoWorker(timelines.objects);
                    }
                }
                timeline.start(prepared);
                try (Connection connection = timeline.connect()) {
                    if (round == 0) {
                        Workload.create(connection);
                    } else {
                        assertEquals(before, Workload.fingerprint(connection));
                        assertEquals("0", Workload.ask(connection, "SELECT count(*) FROM volatile"));
                        Workload.check(connection);
                        for (String inside :
                                Workload.databases(connection).lines().toList()) {
                            try (Connection there = timeline.connect(inside)) {
                                assertEquals("f", Workload.ask(there, "SELECT count(*) = 0 FROM pg_class"));
                            }
                        }
                    }
                    workload.change(connection, round);
                    Workload.run(connection, "BEGIN", "INSERT INTO promised VALUES (%d)".formatted(round));
                    Workload.run(connection, "PREPARE TRANSACTION 'round %d'".formatted(round));
                    if (round > 1) {
                        Workload.run(connection, "COMMIT PREPARED 'round %d'".formatted(round - 2));
                    }
                    before = Workload.fingerprint(connection);
                }
                if (random.nextBoolean()) {
                    timeline.stop();
                } else {
                    timeline.kill();
                }
            }
            assertTrue(snapshots > 0 || generations < 4, "snapshots=" + snapshots);
        } catch (AssertionError | Exception e) {
            throw new AssertionError("seed=" + seed, e);
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
