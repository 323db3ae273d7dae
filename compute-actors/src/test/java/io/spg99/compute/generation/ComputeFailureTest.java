package io.spg99.compute.generation;

import static io.spg99.compute.testing.TestClients.ask;
import static io.spg99.compute.testing.TestClients.run;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.spg99.compute.testing.TestPlatform;
import io.spg99.compute.testing.TestSafekeeper;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.postgres.Programs;
import io.spg99.storage.postgres.WalFiles;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WriterAddress;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.RandomAccessFile;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Clock;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** What can go wrong with a generation, and that nothing is left of it. */
class ComputeFailureTest {

    private static final ActorTestKit KIT = ActorTestKit.create();

    @AfterAll
    static void stopKit() {
        KIT.shutdownTestKit();
    }

    private static void assertNothingLeft(TestDatabase database, int generation) {
        Path directory = database.run.resolve(database.id);
        assertFalse(Files.exists(directory), "directory is removed");
        assertEquals(List.of(), processes(database, generation));
    }

    private static List<ProcessHandle> processes(TestDatabase database, int generation) {
        Path pgdata = database.run.resolve(database.id).resolve(Integer.toString(generation));
        try (var processes = ProcessHandle.allProcesses()) {
            return processes.filter(process -> runsIn(process, pgdata)).toList();
        }
    }

    /** The next generation need not wait for the files of one that crashed. */
    private static void assertNothingLeftSoon(TestDatabase database, int generation) {
        assertEquals(List.of(), processes(database, generation), "processes when it says that it has ended");
        await("its files are removed").until(() -> !Files.exists(database.run.resolve(database.id)));
        assertNothingLeft(database, generation);
    }

    /** Its working directory may be gone already: the kernel says so behind the path. */
    private static boolean runsIn(ProcessHandle process, Path directory) {
        try {
            return Files.readSymbolicLink(Path.of("/proc", Long.toString(process.pid()), "cwd"))
                    .toString()
                    .startsWith(directory.toString());
        } catch (IOException e) {
            return false; // it has ended meanwhile
        }
    }

    private static long postmaster(TestDatabase database, int generation) throws IOException {
        return TestDatabase.postmaster(database.run.resolve(database.id).resolve(Integer.toString(generation)))
                .orElseThrow();
    }

    private static void signal(String signal, String pid) throws IOException {
        Programs.run(List.of("/bin/sh", "-c", "kill -$0 $1", signal, pid), Map.of(), "", Duration.ofSeconds(5));
    }

    @Test
    void givenCommitWaitingForQuorum_whenPostmasterIsKilled_thenNobodySeesItAndGenerationEnds() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        assumeTrue(database.node().guarded(), "the guard was not built: no C compiler");
        TestDatabase.Run generation = database.start(2);
        WriterAddress writer = generation.configured().writer();
        try (Connection client = database.connect(writer);
                Connection busy = database.connect(writer)) {
            run(client, "CREATE TABLE ledger (n int)");
            for (TestSafekeeper safekeeper : database.safekeepers) {
                safekeeper.stop();
            }
            AtomicBoolean acknowledged = new AtomicBoolean();
            CompletableFuture<Void> commit = CompletableFuture.runAsync(() -> {
                try {
                    run(client, "INSERT INTO ledger VALUES (1)");
                    acknowledged.set(true);
                } catch (SQLException e) {
                    throw new IllegalStateException(e);
                }
            });
            await("the commit waits")
                    .until(() -> "1"
                            .equals(ask(
                                    busy, "SELECT count(*) FROM pg_stat_activity" + " WHERE wait_event = 'SyncRep'")));
            // A backend that computes looks at nothing; without the guard it would go on for minutes.
            CompletableFuture<String> computing = CompletableFuture.supplyAsync(() -> {
                try {
                    return ask(busy, "SELECT count(*) FROM generate_series(1, 1000000000) AS n");
                } catch (SQLException e) {
                    throw new IllegalStateException(e);
                }
            });

            assertTrue(ProcessHandle.of(postmaster(database, 2)).orElseThrow().destroyForcibly());

            GenerationEvent.Ended ended = generation.ended();
            assertFalse(ended.orderly());
            assertTrue(ended.reason().contains("PostgreSQL ended by itself"), ended.reason());
            await("clients lose their connections").until(() -> commit.isDone() && computing.isDone());
            assertTrue(commit.isCompletedExceptionally());
            assertTrue(computing.isCompletedExceptionally());
            assertFalse(acknowledged.get());
        }
        assertNothingLeftSoon(database, 2);
    }

    @Test
    void givenServing_whenBackendCrashes_thenGenerationEnds() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        TestDatabase.Run generation = database.start(2);
        WriterAddress writer = generation.configured().writer();
        try (Connection client = database.connect(writer)) {
            signal("SEGV", ask(client, "SELECT pg_backend_pid()"));

            GenerationEvent.Ended ended = generation.ended();

            assertFalse(ended.orderly());
            assertTrue(ended.reason().contains("PostgreSQL ended by itself"), ended.reason());
        }
        assertNothingLeftSoon(database, 2);
    }

    @Test
    void givenNoQuorum_whenStopped_thenItEndsAtTheDeadlineAndSaysSo() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        assumeTrue(database.node().guarded(), "the guard was not built: no C compiler");
        ComputeSettings d = ComputeSettings.defaults();
        database.settings = new ComputeSettings(
                d.listenHost(),
                d.spareProfile(),
                d.prepareDeadline(),
                d.startDeadline(),
                d.configureDeadline(),
                Duration.ofMillis(500));
        TestDatabase.Run generation = database.start(2);
        WriterAddress writer = generation.configured().writer();
        try (Connection client = database.connect(writer);
                Connection observer = database.connect(writer)) {
            run(client, "CREATE TABLE ledger (n int)");
            for (TestSafekeeper safekeeper : database.safekeepers) {
                safekeeper.stop();
            }
            CompletableFuture<Void> commit = CompletableFuture.runAsync(() -> {
                try {
                    run(client, "INSERT INTO ledger VALUES (1)");
                } catch (SQLException e) {
                    throw new IllegalStateException(e);
                }
            });
            await("the commit waits")
                    .until(() -> "1"
                            .equals(ask(
                                    observer,
                                    "SELECT count(*) FROM pg_stat_activity" + " WHERE wait_event = 'SyncRep'")));

            generation.actor.tell(GenerationCommand.Stop.INSTANCE);

            GenerationEvent.Ended ended = generation.ended();
            assertFalse(ended.orderly(), "the held commit is ended by SIGQUIT");
            await("the client learns of it").until(commit::isCompletedExceptionally);
        }
        assertNothingLeft(database, 2);
    }

    @Test
    void givenFirstConfiguration_whenNoSafekeeperFollows_thenDeadlineEndsItWithAHint() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        ComputeSettings d = ComputeSettings.defaults();
        database.settings = new ComputeSettings(
                d.listenHost(),
                d.spareProfile(),
                d.prepareDeadline(),
                d.startDeadline(),
                Duration.ofMillis(500),
                d.stopDeadline());
        TestDatabase.Run generation = database.start(2);
        generation.accepting();

        GenerationEvent.Ended ended = generation.ended();

        assertFalse(ended.orderly());
        assertTrue(ended.reason().contains("two Safekeepers"), ended.reason());
        assertNothingLeft(database, 2);
    }

    @Test
    void givenWalIsBeingFetched_whenStopped_thenFetchIsInterruptedAndNothingIsLeft() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        CountDownLatch fetching = new CountDownLatch(1);
        database.wal = (spec, recovery, start, pgWal) -> {
            fetching.countDown();
            try {
                new CountDownLatch(1).await();
            } catch (InterruptedException e) {
                throw new InterruptedIOException("stopped");
            }
        };
        TestDatabase.Run generation = database.start(2);
        fetching.await();

        generation.actor.tell(GenerationCommand.Stop.INSTANCE);

        assertTrue(generation.ended().orderly());
        assertNothingLeft(database, 2);
    }

    @Test
    void givenStarting_whenKilledAtSomeMoment_thenNothingIsLeft() throws Exception {
        for (int delayMillis : new int[] {0, 20, 40, 80}) {
            TestDatabase database = new TestDatabase(KIT);
            TestDatabase.Run generation = database.start(2);
            CompletableFuture.delayedExecutor(delayMillis, java.util.concurrent.TimeUnit.MILLISECONDS)
                    .execute(() -> generation.actor.tell(GenerationCommand.Kill.INSTANCE));

            GenerationEvent event = generation.owner.receiveMessage(TestDatabase.PATIENCE);
            if (event instanceof GenerationEvent.Accepting) {
                event = generation.owner.receiveMessage(TestDatabase.PATIENCE);
            }

            assertTrue(
                    event instanceof GenerationEvent.Ended ended
                            && ended.reason().contains("killed"),
                    event.toString());
            assertNothingLeft(database, 2);
        }
    }

    @Test
    void givenWalOfAnotherDatabase_whenStarting_thenItIsRefused() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        TimelineBase other = new TestDatabase(KIT).base;
        TestSafekeeper wrong = new TestSafekeeper("sk9", other, database.platform.directory("sk9"));
        database.wal = (spec, recovery, start, pgWal) -> wrong.copyTo(pgWal);

        GenerationEvent.Ended ended = database.start(2).ended();

        assertTrue(ended.reason().contains("WAL belongs to another database"), ended.reason());
        assertNothingLeft(database, 2);
    }

    @Test
    void givenMissingSegment_whenStarting_thenItIsRefused() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        database.wal = (spec, recovery, start, pgWal) -> {};

        GenerationEvent.Ended ended = database.start(2).ended();

        assertTrue(ended.reason().contains("WAL is incomplete"), ended.reason());
    }

    @Test
    void givenHoleInTheWal_whenStarting_thenServerIsNotUsed() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        TestDatabase.Run first = database.start(2);
        try (Connection client = database.connect(first.configured().writer())) {
            run(client, "CREATE TABLE ledger (n int)");
        }
        first.stop();
        database.wal = (spec, recovery, start, pgWal) -> {
            database.safekeepers.getFirst().copyTo(pgWal);
            int size = spec.base().segmentSize();
            String last = WalFiles.segmentName(2, recovery.end().segment(size), size);
            try (RandomAccessFile file =
                    new RandomAccessFile(pgWal.resolve(last).toFile(), "rw")) {
                file.seek(recovery.end().offset(size) - 2000L);
                file.write(new byte[2000]);
            }
        };

        GenerationEvent.Ended ended = database.start(3).ended();

        assertTrue(ended.reason().contains("recovery did not end where the timeline ends"), ended.reason());
        assertNothingLeft(database, 3);
    }

    @Test
    void givenPortTakenMeanwhile_whenStarting_thenAnotherIsUsed() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            AtomicBoolean first = new AtomicBoolean(true);
            TestPlatform platform = database.platform;
            ComputeNode node =
                    new ComputeNode(
                            platform.binaries(),
                            platform.user(),
                            platform.images(),
                            database.run,
                            platform.compute(),
                            database.wal,
                            Executors.newVirtualThreadPerTaskExecutor(),
                            Clock.systemUTC(),
                            database.settings) {
                        @Override
                        int freePort() throws IOException {
                            return first.getAndSet(false) ? taken.getLocalPort() : super.freePort();
                        }
                    };
            try (node) {
                TestDatabase.Run generation = database.start(2, node);

                generation.configured();

                assertFalse(first.get());
                assertTrue(generation.stop().orderly());
            }
        }
    }

    @Test
    void givenGenerationOfAnEarlierRun_whenSweeping_thenProcessAndDirectoryAreGone() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        TestDatabase.Run generation = database.start(2);
        generation.configured();
        long pid = postmaster(database, 2);

        database.node().sweep();

        assertFalse(ProcessHandle.of(pid).map(ProcessHandle::isAlive).orElse(false));
        assertFalse(generation.ended().orderly());
        assertNothingLeft(database, 2);
    }

    @Test
    void givenShutDownSystem_whenGenerationActorStops_thenPostgresEndsToo() throws Exception {
        ActorTestKit own = ActorTestKit.create();
        TestDatabase database = new TestDatabase(own);
        TestDatabase.Run generation = database.start(2);
        generation.configured();
        ProcessHandle server = ProcessHandle.of(postmaster(database, 2)).orElseThrow();

        own.shutdownTestKit();

        await("PostgreSQL is gone").until(() -> !server.isAlive());
        await("its directory is gone").until(() -> !Files.exists(database.run.resolve(database.id)));
        PostgresProcess.removeRemains(database.run);
    }
}
