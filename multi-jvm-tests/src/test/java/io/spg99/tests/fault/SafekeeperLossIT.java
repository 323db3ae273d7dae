package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.file.FileTree;
import io.spg99.tests.ledger.Ledger;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Safekeepers that are lost, come back, and come back without their disk. */
@ExtendWith(SharedPlatform.class)
class SafekeeperLossIT {

    private static final int CLIENTS = 4;

    /** One that lost its disk is no Safekeeper of this timeline until it has all of it again. */
    @Test
    void givenALoad_whenALostDiskComesBack_thenItCountsOnlyOnceItHasEverything(Platform platform) throws Exception {
        TestDatabase database = platform.createDatabase();
        try (Ledger ledger = database.openLedger(CLIENTS, 200)) {
            database.awaitAllFollow();
            platform.kill("sk2");
            FileTree.delete(platform.safekeeperDirectory("sk2"));
            ledger.awaitProgress(200);
            platform.kill("sk1");
            platform.start("sk2").awaitReady();

            // Two run, but only one of them has what was acknowledged.
            awaitStandstill(ledger, Duration.ofSeconds(Rounds.of(3, 20)));

            platform.start("sk1");
            ledger.awaitProgress(200);
            database.awaitAllFollow();
            platform.kill("sk3");
            ledger.awaitProgress(200);
            ledger.stop();
            ledger.verify();
            platform.startSafekeepers();
            database.awaitAllFollow();
            database.stop();
            platform.assertSameWal(database);
        }
    }

    @Test
    void givenALoad_whenOneAndThenTwoSafekeepersAreLost_thenCommitsGoOnAndThenWaitUntilOneReturns(Platform platform)
            throws Exception {
        TestDatabase database = platform.createDatabase();
        long[] on = new long[Rounds.of(1, 10)];
        long[] caughtUp = new long[on.length];
        try (Ledger ledger = database.openLedger(CLIENTS, 50)) {
            for (int round = 0; round < on.length; round++) {
                String first = Platform.SAFEKEEPERS.get(round % 3);
                String second = Platform.SAFEKEEPERS.get((round + 1) % 3);
                database.awaitAllFollow();
                platform.kill(first);
                ledger.awaitProgress(200);
                platform.kill(second);
                awaitStandstill(ledger, Duration.ofSeconds(Rounds.of(2, 10)));
                assertTrue(database.agent().number(TestDatabase.WAITING) > 0, "clients see that their commits wait");

                long returned = System.nanoTime();
                platform.start(first);
                ledger.awaitProgress(1);
                on[round] = Platform.millisSince(returned);
                ledger.awaitProgress(200);
                returned = System.nanoTime();
                platform.start(second);
                database.awaitAllFollow();
                caughtUp[round] = Platform.millisSince(returned);
            }
            ledger.stop();
            assertEquals(Map.of(), ledger.failures(), "each client got its answer on the connection it had");
            ledger.verify();
            database.stop();
            platform.assertSameWal(database);
        }
        Rounds.report("commits go on after one of two lost Safekeepers was started", on);
        Rounds.report("a Safekeeper has caught up after its process was started", caughtUp);
    }

    private static void awaitStandstill(Ledger ledger, Duration how) {
        AtomicInteger last = new AtomicInteger(-1);
        Awaitility.await("commits wait, none is acknowledged")
                .pollInterval(Duration.ofMillis(100))
                .during(how)
                .atMost(how.plusSeconds(10))
                .until(() -> {
                    int now = ledger.acknowledged();
                    return last.getAndSet(now) == now;
                });
    }
}
