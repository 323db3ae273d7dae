package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.spg99.storage.file.FileTree;
import io.spg99.tests.ledger.Ledger;
import io.spg99.tests.process.PostgresProcesses;
import io.spg99.tests.process.ProcessSignal;
import io.spg99.tests.process.WriterAgent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The writer dies, or does not die when it should have. */
@ExtendWith(SharedPlatform.class)
class WriterFaultsIT {

    /** What is killed of the running compute. */
    enum Victim {
        POSTMASTER {
            @Override
            long pid(TestDatabase database) {
                return database.postmaster();
            }
        },
        BACKEND {
            @Override
            long pid(TestDatabase database) throws Exception {
                return database.agent()
                        .number("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
                                + " AND usename = '" + database.user() + "' ORDER BY random() LIMIT 1");
            }
        },
        WALSENDER {
            @Override
            long pid(TestDatabase database) throws Exception {
                return database.agent()
                        .number("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'"
                                + " ORDER BY random() LIMIT 1");
            }
        };

        abstract long pid(TestDatabase database) throws Exception;
    }

    /** A writer that lived for less waits longer before it is replaced: that is not what is measured. */
    private static final Duration LIFE = Duration.ofSeconds(Rounds.all() ? 11 : 0);

    private static final long READY_LIMIT_MILLIS = 3000;

    @ParameterizedTest
    @EnumSource(Victim.class)
    void givenALoad_whenAProcessOfTheWriterIsKilled_thenNothingIsLostAndTheNextIsReadySoon(
            Victim victim, Platform platform) throws Exception {
        TestDatabase database = platform.createDatabase();
        try (Ledger ledger = database.openLedger(8, 100)) {
            long[] ready = new long[Rounds.of(3, 20)];
            for (int round = 0; round < ready.length; round++) {
                long begin = System.nanoTime();
                ledger.awaitProgress(100);
                Awaitility.await("the writer has lived")
                        .atMost(LIFE.plusSeconds(10))
                        .until(() -> Platform.millisSince(begin) >= LIFE.toMillis());
                long generation = database.generation();
                long pid = victim.pid(database);
                long killed = System.nanoTime();
                ProcessSignal.KILL.send(pid);
                database.awaitReadyAfter(generation);
                ready[round] = Platform.millisSince(killed);
                ledger.awaitProgress(100);
            }
            ledger.stop();
            ledger.verify();
            Rounds.report("next generation ready after a killed " + victim, ready);
            System.out.println("[figures] clients were told, killed " + victim + ": " + ledger.failures());
            assertTrue(Rounds.median(ready) < READY_LIMIT_MILLIS, "median=" + Rounds.median(ready));
        }
    }

    /**
     * A writer that nobody can end, as one on a machine that hangs: frozen, moved away from where the platform looks for what
     * an earlier run left, and thawed when its successor works. Its postmaster last, so that for a while its backends are as
     * alive as ever.
     */
    @Test
    void givenAFrozenWriter_whenItThawsAfterItsSuccessorIsReady_thenItAcknowledgesNothingAndEndsItself(
            Platform platform) throws Exception {
        TestDatabase database = platform.createDatabase();
        try (Ledger ledger = database.openLedger(4, 100)) {
            long generation = database.generation();
            long postmaster = database.postmaster();
            WriterAgent agent = database.agent();
            Path old = agent.directory();
            Path elsewhere = Files.createDirectory(platform.postgresDirectory().resolve("away"));
            Path away = elsewhere.resolve("old");
            // Whoever reaches the old one directly: it stays connected all the while.
            try (Connection direct = agent.connect(database.name());
                    Statement statement = direct.createStatement()) {
                List<Long> frozen = database.processes();
                for (long pid : frozen) {
                    ProcessSignal.STOP.send(pid);
                }
                CompletableFuture<Void> commit = insertLate(statement);
                platform.killDev();
                Files.move(old, away);
                platform.startDev();

                ledger.awaitProgress(100);
                assertTrue(database.generation() > generation);
                for (long pid : frozen) {
                    if (pid != postmaster) {
                        ProcessSignal.CONT.send(pid);
                    }
                }
                // The ledger's clients would notice a stale read.
                ledger.awaitProgress(500);
                Awaitility.await("the old writer's backend works, and its commit waits")
                        .during(Duration.ofSeconds(Rounds.of(2, 70)))
                        .atMost(Duration.ofSeconds(80))
                        .until(() -> !commit.isDone() && isWaitingForQuorum(away));

                long thawed = System.nanoTime();
                ProcessSignal.CONT.send(postmaster);
                Awaitility.await("the old writer ends itself")
                        .atMost(Duration.ofSeconds(10))
                        .until(() -> PostgresProcesses.workingIn(away).isEmpty());
                Rounds.report("an old writer's end after it thawed", Platform.millisSince(thawed));
                assertFailed(commit);
            } finally {
                for (long pid : PostgresProcesses.workingIn(elsewhere)) {
                    ProcessSignal.KILL.send(pid);
                }
                FileTree.delete(elsewhere);
            }
            assertEquals(0, database.number("SELECT count(*) FROM ledger WHERE client = 99"));
            ledger.stop();
            ledger.verify();
        }
    }

    /** Nobody notices that it hangs; but whoever stops it need not wait for it. */
    @Test
    void givenAFrozenWriter_whenTheDatabaseIsStopped_thenItIsEndedByForceAndNothingIsLost(Platform platform)
            throws Exception {
        assumeTrue(Rounds.all(), "takes as long as an orderly stop may take: mvn verify -Plong");
        TestDatabase database = platform.createDatabase();
        try (Ledger ledger = database.openLedger(4, 100)) {
            for (long pid : database.processes()) {
                ProcessSignal.STOP.send(pid);
            }
            long generation = database.generation();
            long begin = System.nanoTime();
            platform.dev().api().post("/v2/tenants/" + database.tenant() + "/dbs/" + database.name() + "/stop", "");
            database.awaitReadyAfter(generation);
            Rounds.report("next generation ready after the stop of a frozen writer", Platform.millisSince(begin));
            ledger.awaitProgress(100);
            ledger.stop();
            ledger.verify();
        }
    }

    /** As PostgreSQL says in the titles of its processes. */
    private static boolean isWaitingForQuorum(Path directory) {
        return PostgresProcesses.workingIn(directory).stream()
                .map(PostgresProcesses::title)
                .anyMatch(title -> title.contains("INSERT waiting for"));
    }

    private static CompletableFuture<Void> insertLate(Statement statement) {
        return CompletableFuture.runAsync(
                () -> {
                    try {
                        statement.execute("INSERT INTO ledger (client, sequence) VALUES (99, 1)");
                    } catch (SQLException e) {
                        throw new IllegalStateException(e);
                    }
                },
                work -> Thread.ofPlatform().daemon().name("late").start(work));
    }

    private static void assertFailed(CompletableFuture<Void> commit) {
        Awaitility.await("the late commit's answer")
                .atMost(Duration.ofSeconds(10))
                .until(commit::isDone);
        assertTrue(commit.isCompletedExceptionally(), "a late commit was acknowledged");
    }
}
