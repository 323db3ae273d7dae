package io.spg99.nodes.safekeeper;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.quorum.QuorumCommand;
import io.spg99.storage.quorum.QuorumEvent;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.replication.PgReplicationConnection;
import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.replication.ReplicationTarget;
import io.spg99.storage.safekeeper.SafekeeperCommand;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.SafekeeperReply;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.safekeeper.WalSegmentFiles;
import io.spg99.storage.safekeeper.WalSegmentName;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.safekeeper.WriterNames;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Real PostgreSQL writers over three Safekeepers and their quorum. */
class WalChainTest {

    private static final SafekeeperId SK1 = SafekeeperId.ALL.get(0);
    private static final SafekeeperId SK2 = SafekeeperId.ALL.get(1);
    private static final SafekeeperId SK3 = SafekeeperId.ALL.get(2);

    private static TestPostgres postgres;
    private static TlsIdentity safekeeperIdentity;
    private static TlsIdentity computeIdentity;

    private TimelineBase base;
    private Path directory;
    private TestSafekeepers safekeepers;
    private ActorRef<QuorumCommand> quorum;
    private TestProbe<QuorumEvent> quorumEvents;

    @BeforeAll
    static void unpack() throws Exception {
        postgres = new TestPostgres();
        safekeeperIdentity = postgres.pki().issue(TlsIdentity.SAFEKEEPER);
        computeIdentity = postgres.pki().issue("spg99-standby");
    }

    @AfterAll
    static void remove() throws Exception {
        postgres.close();
    }

    @BeforeEach
    void create() throws IOException {
        base = postgres.base();
        directory = Files.createTempDirectory("spg99-safekeepers");
        safekeepers = new TestSafekeepers(directory, safekeeperIdentity);
        quorum = safekeepers.quorum(base);
        quorumEvents = safekeepers.kit().createTestProbe(QuorumEvent.class);
        safekeepers.ask(quorum, QuorumReply.Created.class, QuorumCommand.Create::new);
    }

    @AfterEach
    void stop() throws Exception {
        postgres.killAll();
        safekeepers.close();
        FileTree.delete(directory);
    }

    /** Passes on the one thing that is not said in the course of things. */
    private ActorRef<QuorumEvent> unfollowables() {
        TestProbe<QuorumEvent> probe = quorumEvents;
        return safekeepers.kit().spawn(Behaviors.receiveMessage(event -> {
            if (event instanceof QuorumEvent.Unfollowable) {
                probe.getRef().tell(event);
            }
            return Behaviors.same();
        }));
    }

    private QuorumReply.Prepared prepare(ActorRef<QuorumCommand> by, int generation) {
        return safekeepers.ask(
                by, QuorumReply.Prepared.class, asker -> new QuorumCommand.Prepare(generation, asker, unfollowables()));
    }

    private TestPostgres.Generation start(QuorumReply.Prepared prepared) throws Exception {
        return postgres.start(
                prepared.generation(), prepared.history(), prepared.end(), prepared.sources(), TestPostgres.freePort());
    }

    private void follow(ActorRef<QuorumCommand> by, TestPostgres.Generation writer) {
        safekeepers.ask(
                by,
                QuorumReply.Following.class,
                asker -> new QuorumCommand.Follow(writer.number(), writer.address(), asker, unfollowables()));
    }

    private TestPostgres.Generation run(ActorRef<QuorumCommand> by, int generation) throws Exception {
        TestPostgres.Generation writer = start(prepare(by, generation));
        follow(by, writer);
        return writer;
    }

    private void awaitCaughtUp(SafekeeperId id, Lsn lsn) {
        Awaitility.await(id + " has " + lsn)
                .atMost(TestSafekeepers.PATIENCE)
                .untilAsserted(() -> assertFalse(
                        safekeepers.position(id, base.timeline()).flushed().isBefore(lsn)));
    }

    private static void execute(TestPostgres.Generation writer, String... statements) throws SQLException {
        try (Connection connection = writer.connect();
                Statement statement = connection.createStatement()) {
            for (String sql : statements) {
                statement.execute(sql);
            }
        }
    }

    private static String query(TestPostgres.Generation writer, String sql) throws SQLException {
        try (Connection connection = writer.connect();
                ResultSet row = connection.createStatement().executeQuery(sql)) {
            row.next();
            return row.getString(1);
        }
    }

    private static Lsn flushed(TestPostgres.Generation writer) throws SQLException {
        return Lsn.parse(query(writer, "SELECT pg_current_wal_flush_lsn()"));
    }

    private static CompletableFuture<Void> executing(TestPostgres.Generation writer, String sql) {
        return CompletableFuture.runAsync(() -> {
            try {
                execute(writer, sql);
            } catch (SQLException e) {
                throw new IllegalStateException(e);
            }
        });
    }

    @Test
    void givenAWriter_whenItCommits_thenAllThreeSafekeepersHaveItsWalByteForByte() throws Exception {
        TestPostgres.Generation writer = run(quorum, 2);

        execute(
                writer,
                "CREATE TABLE ledger (id int PRIMARY KEY, note text)",
                "INSERT INTO ledger SELECT i, repeat('x', 200) FROM generate_series(1, 20000) i",
                "SELECT pg_switch_wal()",
                "INSERT INTO ledger VALUES (0, 'after the switch')");
        Lsn end = flushed(writer);

        assertEquals("2", query(writer, "SELECT timeline_id FROM pg_control_checkpoint()"));
        for (SafekeeperId id : SafekeeperId.ALL) {
            awaitCaughtUp(id, end);
            compareWithWriter(writer, id, end);
        }
        Duration stopping = writer.stop();
        assertTrue(stopping.toSeconds() < 5, "an orderly shutdown waits for nobody: took=" + stopping);
    }

    /** Fetches all WAL from one Safekeeper and compares it with the writer's own segment files. */
    private void compareWithWriter(TestPostgres.Generation writer, SafekeeperId id, Lsn end) throws Exception {
        QuorumReply.Positions positions =
                safekeepers.ask(quorum, QuorumReply.Positions.class, QuorumCommand.GetPositions::new);
        assertEquals(2, positions.generation());
        SafekeeperReply.Position position = safekeepers.position(id, base.timeline());
        WalHistory history = base.history().append(2, base.end());
        Path copy = Files.createDirectory(directory.resolve("copy-" + id));
        try (WalSegmentFiles files = new WalSegmentFiles(copy, history, base.segmentSize())) {
            new WalFetch(base.timeline(), computeIdentity, "test")
                    .fetch(List.of(safekeepers.source(id)), history, base.start(), end, files);
        }
        assertFalse(position.flushed().isBefore(end));
        int compared = 0;
        try (var files = Files.list(copy)) {
            for (Path file : files.sorted().toList()) {
                Path own = writer.wal().resolve(file.getFileName());
                if (Files.exists(own)) {
                    byte[] expected = Files.readAllBytes(own);
                    byte[] actual = Files.readAllBytes(file);
                    long segment = Long.parseLong(file.getFileName().toString().substring(16), 16);
                    if (segment == end.segment(base.segmentSize())) {
                        Arrays.fill(expected, end.offset(base.segmentSize()), expected.length, (byte) 0);
                    }
                    assertArrayEquals(expected, actual, file.getFileName().toString());
                    compared++;
                }
            }
        }
        assertTrue(compared >= 2, "segments compared: " + compared);
    }

    @Test
    void givenOneSafekeeperDown_whenCommitting_thenCommitsGoOnAndItCatchesUp() throws Exception {
        TestPostgres.Generation writer = run(quorum, 2);
        execute(writer, "CREATE TABLE t (id int)");

        safekeepers.stop(SK3);
        execute(writer, "INSERT INTO t SELECT generate_series(1, 30000)", "SELECT pg_switch_wal()", "CHECKPOINT");
        execute(writer, "INSERT INTO t SELECT generate_series(1, 30000)", "SELECT pg_switch_wal()", "CHECKPOINT");
        execute(writer, "INSERT INTO t VALUES (0)");
        Lsn end = flushed(writer);
        safekeepers.start(SK3);

        awaitCaughtUp(SK3, end);
    }

    /** Ends the segments that {@code megabytes} of WAL fill, in a transaction that is still open, and checkpoints. */
    private static void runAhead(Connection connection, TestPostgres.Generation writer, int megabytes)
            throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.execute(
                    "INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, " + megabytes * 1000 + ") i");
        }
        execute(writer, "SELECT pg_switch_wal()", "CHECKPOINT", "CHECKPOINT");
    }

    private Path segment(TestPostgres.Generation writer, Lsn lsn) {
        return writer.wal()
                .resolve(WalSegmentName.of(writer.number(), lsn.segment(base.segmentSize()), base.segmentSize()));
    }

    private static long megabytesOfWal(TestPostgres.Generation writer) throws IOException {
        try (var files = Files.list(writer.wal())) {
            return files.filter(Files::isRegularFile)
                            .mapToLong(file -> file.toFile().length())
                            .sum()
                    >> 20;
        }
    }

    @Test
    void givenAllSafekeepersDown_whenTheWriterRunsAhead_thenItKeepsWhatTheyLack() throws Exception {
        TestPostgres.Generation writer = run(quorum, 2);
        execute(writer, "CREATE TABLE t (id int, filler text)");
        Lsn begin = flushed(writer);
        SafekeeperId.ALL.forEach(safekeepers::stop);

        try (Connection load = writer.connect()) {
            runAhead(load, writer, 30);
            assertTrue(Files.exists(segment(writer, begin)));
            for (SafekeeperId id : SafekeeperId.ALL) {
                safekeepers.start(id);
            }
            load.commit();
        }

        assertEquals("30000", query(writer, "SELECT count(*) FROM t"));
        for (SafekeeperId id : SafekeeperId.ALL) {
            awaitCaughtUp(id, flushed(writer));
        }
        quorumEvents.expectNoMessage(Duration.ZERO);
    }

    @Test
    void givenOneSafekeeperDown_whenALoadGoesOn_thenItsWalIsNotKeptAndItFillsUpFromAPeer() throws Exception {
        TestPostgres.Generation writer = run(quorum, 2);
        execute(writer, "CREATE TABLE t (id int, filler text)");
        Lsn begin = flushed(writer);
        safekeepers.stop(SK3);

        try (Connection load = writer.connect()) {
            runAhead(load, writer, 100);
            load.commit();
        }
        Awaitility.await("WAL that two Safekeepers have is removed")
                .atMost(TestSafekeepers.PATIENCE)
                .pollInterval(Duration.ofMillis(200))
                .untilAsserted(() -> {
                    execute(writer, "CHECKPOINT");
                    assertTrue(megabytesOfWal(writer) < 70, () -> "left: " + wal(writer));
                });
        assertFalse(Files.exists(segment(writer, begin)));
        safekeepers.start(SK3);

        awaitCaughtUp(SK3, flushed(writer));
        safekeepers.stop(SK1);
        execute(writer, "INSERT INTO t VALUES (0)");
    }

    private static String wal(TestPostgres.Generation writer) {
        try {
            return megabytesOfWal(writer) + " MB, slot at "
                    + query(
                            writer,
                            "SELECT string_agg(slot_name || ' ' || restart_lsn, ', ') FROM pg_replication_slots");
        } catch (IOException | SQLException e) {
            return e.toString();
        }
    }

    @Test
    void givenNoSlot_whenTheWriterRemovesWhatNoTwoHave_thenTheOwnerHearsThatItCannotBeFollowed() throws Exception {
        TestPostgres.Generation writer = run(quorum, 2);
        execute(writer, "CREATE TABLE t (id int, filler text)");
        Lsn begin = flushed(writer);
        SafekeeperId.ALL.forEach(safekeepers::stop);

        try (Connection load = writer.connect()) {
            execute(writer, "SELECT pg_drop_replication_slot('" + WriterNames.QUORUM_SLOT + "')");
            runAhead(load, writer, 30);
            assertFalse(Files.exists(segment(writer, begin)));
            for (SafekeeperId id : SafekeeperId.ALL) {
                safekeepers.start(id);
            }
            QuorumEvent.Unfollowable event =
                    quorumEvents.expectMessageClass(QuorumEvent.Unfollowable.class, TestSafekeepers.PATIENCE);
            assertEquals(2, event.generation());
        }
        // What was acknowledged is there in the next generation.
        quorum.tell(new QuorumCommand.Release(2));
        writer.kill();
        assertEquals("0", query(run(quorum, 3), "SELECT count(*) FROM t"));
    }

    @Test
    void givenTwoSafekeepersDown_whenCommitting_thenTheCommitWaitsForTheSecond() throws Exception {
        TestPostgres.Generation writer = run(quorum, 2);
        execute(writer, "CREATE TABLE t (id int)");
        safekeepers.stop(SK2);
        safekeepers.stop(SK3);

        CompletableFuture<Void> commit = executing(writer, "INSERT INTO t VALUES (1)");
        assertThrows(TimeoutException.class, () -> commit.get(700, TimeUnit.MILLISECONDS));
        safekeepers.start(SK2);

        commit.get(10, TimeUnit.SECONDS);
    }

    @Test
    void givenAWriter_whenAHigherGenerationIsPromised_thenItsCommitsHangAndNothingAcknowledgedIsLost()
            throws Exception {
        TestPostgres.Generation old = run(quorum, 2);
        execute(old, "CREATE TABLE t (id int)", "INSERT INTO t SELECT generate_series(1, 100)");

        ActorRef<QuorumCommand> successor = safekeepers.quorum(base);
        QuorumReply.Prepared prepared = prepare(successor, 4);
        CompletableFuture<Void> commit = executing(old, "INSERT INTO t VALUES (-1)");
        assertThrows(TimeoutException.class, () -> commit.get(700, TimeUnit.MILLISECONDS));
        TestPostgres.Generation next = start(prepared);
        follow(successor, next);

        assertEquals("100", query(next, "SELECT count(*) FROM t"));
        assertFalse(commit.isDone(), "a deposed writer acknowledged a commit");
        execute(next, "INSERT INTO t VALUES (101)");
        assertEquals(
                "000000040000",
                query(next, "SELECT pg_walfile_name(pg_current_wal_lsn())").substring(0, 12));
        assertEquals(
                QuorumReply.Superseded.class,
                safekeepers
                        .ask(
                                quorum,
                                QuorumReply.Superseded.class,
                                asker -> new QuorumCommand.Prepare(3, asker, unfollowables()))
                        .getClass());

        // After a clean stop the next generation begins where the shutdown checkpoint ends.
        next.stop();
        successor.tell(new QuorumCommand.Release(4));
        TestPostgres.Generation third = run(successor, 5);
        assertEquals("101", query(third, "SELECT count(*) FROM t"));
    }

    @Test
    void givenAStoppedWriter_whenSafekeepersRestart_thenPositionsAreTheSame() throws Exception {
        TestPostgres.Generation writer = run(quorum, 2);
        execute(writer, "CREATE TABLE t (id int)", "INSERT INTO t SELECT generate_series(1, 1000)");
        writer.stop();
        quorum.tell(new QuorumCommand.Release(2));
        QuorumReply.Prepared before = prepare(quorum, 3);

        for (SafekeeperId id : SafekeeperId.ALL) {
            safekeepers.stop(id);
            safekeepers.start(id);
        }

        QuorumReply.Prepared after = prepare(quorum, 5);
        assertEquals(before.end(), after.end());
        assertEquals(before.history(), after.history());
    }

    @Test
    void givenALostDisk_whenFollowing_thenItIsRestoredFromItsPeersAndVotesAgain() throws Exception {
        TestPostgres.Generation writer = run(quorum, 2);
        execute(writer, "CREATE TABLE t (id int)", "INSERT INTO t SELECT generate_series(1, 1000)");

        safekeepers.stop(SK1);
        FileTree.delete(safekeepers.directory(SK1));
        safekeepers.start(SK1);
        execute(writer, "INSERT INTO t VALUES (1)");
        awaitCaughtUp(SK1, flushed(writer));

        safekeepers.stop(SK3);
        ActorRef<QuorumCommand> successor = safekeepers.quorum(base);
        assertEquals("1001", query(run(successor, 3), "SELECT count(*) FROM t"));
    }

    @Test
    void givenAConnectionOfASafekeeper_whenItConnectsOnceMore_thenOnlyAfterTheFirstHasEnded() throws Exception {
        TestPostgres.Generation writer = run(quorum, 2);
        ReplicationTarget target = new ReplicationTarget(
                writer.address().host(),
                writer.address().port(),
                WriterNames.SAFEKEEPER_ROLE,
                "sk9",
                safekeeperIdentity,
                TestSafekeepers.PATIENCE,
                TestSafekeepers.PATIENCE);
        try (ReplicationConnection second = PgReplicationConnection.open(target)) {
            try (ReplicationConnection first = PgReplicationConnection.open(target)) {
                first.claim("sk9");
                assertThrows(ReplicationException.class, () -> second.claim("sk9"));
            }
            Awaitility.await("the first one's end is noticed")
                    .atMost(TestSafekeepers.PATIENCE)
                    .untilAsserted(() -> second.claim("sk9"));
        }
    }

    @Test
    void givenTwoGenerations_whenPgReceivewalFollows_thenItsFilesAreTheWritersFiles() throws Exception {
        TestPostgres.Generation writer = run(quorum, 2);
        execute(writer, "CREATE TABLE t (id int)");
        Path target = Files.createDirectory(directory.resolve("received"));
        Process receiver = receivewal(target);
        try {
            String segment = query(writer, "SELECT pg_walfile_name(pg_current_wal_lsn())");
            // It begins with the segment that is current when it connects.
            awaitReceived(target, segment + ".partial");
            execute(writer, "INSERT INTO t SELECT generate_series(1, 1000)", "SELECT pg_switch_wal()");
            execute(writer, "INSERT INTO t VALUES (0)");
            awaitReceived(target, segment);
            assertArrayEquals(
                    Files.readAllBytes(writer.wal().resolve(segment)), Files.readAllBytes(target.resolve(segment)));
            writer.stop();
            quorum.tell(new QuorumCommand.Release(2));

            TestPostgres.Generation next = run(quorum, 3);
            segment = query(next, "SELECT pg_walfile_name(pg_current_wal_lsn())");
            execute(next, "INSERT INTO t SELECT generate_series(1, 1000)", "SELECT pg_switch_wal()");
            execute(next, "INSERT INTO t VALUES (0)");
            awaitReceived(target, segment);
            assertArrayEquals(
                    Files.readAllBytes(next.wal().resolve(segment)), Files.readAllBytes(target.resolve(segment)));
            assertTrue(Files.exists(target.resolve("00000003.history")));
        } finally {
            receiver.destroyForcibly().waitFor();
        }
    }

    private Process receivewal(Path target) throws IOException {
        WalSource source = safekeepers.source(SK1);
        String connection = "host=%s port=%d user=%s sslmode=verify-ca sslcert=%s sslkey=%s sslrootcert=%s"
                .formatted(
                        source.host(),
                        source.port(),
                        base.timeline(),
                        computeIdentity.certificate(),
                        privateKey(),
                        computeIdentity.ca());
        return new ProcessBuilder(
                        "pg_receivewal", "--no-loop", "--synchronous", "-D", target.toString(), "-d", connection)
                .redirectErrorStream(true)
                .redirectOutput(directory.resolve("pg_receivewal.log").toFile())
                .start();
    }

    private void awaitReceived(Path target, String segment) {
        Awaitility.await("pg_receivewal has all of " + segment)
                .atMost(TestSafekeepers.PATIENCE)
                .untilAsserted(() -> assertTrue(Files.exists(target.resolve(segment)), () -> {
                    try {
                        return Files.readString(directory.resolve("pg_receivewal.log"));
                    } catch (IOException e) {
                        return e.toString();
                    }
                }));
    }

    private Path privateKey() throws IOException {
        Path key = directory.resolve("client.key");
        Files.copy(computeIdentity.key(), key);
        Files.setPosixFilePermissions(key, java.nio.file.attribute.PosixFilePermissions.fromString("rw-------"));
        return key;
    }

    @Test
    void givenATimeline_whenDeleted_thenNothingOfItIsLeft() throws Exception {
        safekeepers.ask(quorum, QuorumReply.Deleted.class, QuorumCommand.Delete::new);

        for (SafekeeperId id : SafekeeperId.ALL) {
            TestProbe<SafekeeperReply> probe = safekeepers.kit().createTestProbe(SafekeeperReply.class);
            safekeepers.ref(id).tell(new SafekeeperCommand.Promise(base.timeline(), 2, probe.getRef()));
            probe.expectMessageClass(SafekeeperReply.UnknownTimeline.class, TestSafekeepers.PATIENCE);
            try (var files = Files.list(safekeepers.directory(id).resolve("timelines"))) {
                assertEquals(0, files.count());
            }
        }
    }

    @Test
    void givenADamagedControlFile_whenASafekeeperStarts_thenItFailsAndTheOthersGoOn() throws Exception {
        safekeepers.stop(SK1);
        Path control = safekeepers
                .directory(SK1)
                .resolve("timelines")
                .resolve(base.timeline().value())
                .resolve("control");
        byte[] content = Files.readAllBytes(control);
        content[content.length / 2] ^= 1;
        Files.write(control, content);
        safekeepers.start(SK1);

        TestProbe<SafekeeperReply> probe = safekeepers.kit().createTestProbe(SafekeeperReply.class);
        safekeepers.ref(SK1).tell(new SafekeeperCommand.Promise(base.timeline(), 2, probe.getRef()));
        SafekeeperReply.Failed failed =
                probe.expectMessageClass(SafekeeperReply.Failed.class, TestSafekeepers.PATIENCE);

        assertTrue(failed.reason().contains("control file damaged"), failed.reason());
        assertEquals(2, prepare(quorum, 2).sources().size());
    }

    @Test
    void givenARunningSafekeeper_whenASecondUsesItsDirectory_thenItIsRefused() {
        IOException refused = assertThrows(
                IOException.class,
                () -> Safekeeper.create(new SafekeeperSettings(
                        SK1, safekeepers.directory(SK1), "127.0.0.1", 0, safekeeperIdentity, 16L << 30)));

        assertTrue(String.valueOf(refused.getMessage()).contains("another Safekeeper"), refused.getMessage());
    }
}
