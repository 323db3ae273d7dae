package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.spg99.tests.fault.FaultyLink.Direction;
import io.spg99.tests.fault.FaultyLink.End;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * Safekeepers that are slow or cut off, each behind a link of its own: a commit takes as long as the second fastest of them
 * needs, whatever the third does.
 */
@ExtendWith(SharedPlatform.class)
class SlowSafekeeperIT {

    private static final Duration DELAY = Duration.ofMillis(300);

    private static final int COMMITS = Rounds.of(20, 200);
    private static final int SLOW_COMMITS = Rounds.of(7, 50);

    private final Platform platform;
    private TestDatabase database;
    private Connection client;

    SlowSafekeeperIT(Platform platform) {
        this.platform = platform;
    }

    private FaultyLink link(String id) {
        return platform.link(id);
    }

    @BeforeEach
    void connect() throws Exception {
        database = platform.createDatabase();
        database.execute("CREATE TABLE committed (n int)");
        client = database.connect();
        database.awaitAllFollow();
    }

    @AfterEach
    void disconnect() throws Exception {
        Platform.SAFEKEEPERS.forEach(id -> link(id).heal());
        client.close();
    }

    /** Median of some commits one after the other. */
    private long commitMillis(int count) throws SQLException {
        long[] nanos = new long[count];
        try (PreparedStatement insert = client.prepareStatement("INSERT INTO committed VALUES (1)")) {
            for (int i = 0; i < count; i++) {
                long begin = System.nanoTime();
                assertEquals(1, insert.executeUpdate());
                nanos[i] = System.nanoTime() - begin;
            }
        }
        return TimeUnit.NANOSECONDS.toMillis(Rounds.median(nanos));
    }

    private void assertFast(String what) throws SQLException {
        long millis = commitMillis(COMMITS);
        figure(what, millis);
        assertTrue(millis < DELAY.toMillis() / 2, "%s: median of a commit = %d ms".formatted(what, millis));
    }

    private void assertAsSlowAsTheDelay(String what) throws SQLException {
        long millis = commitMillis(SLOW_COMMITS);
        figure(what, millis);
        assertTrue(
                millis >= DELAY.toMillis() && millis < 2 * DELAY.toMillis(),
                "%s: median of a commit = %d ms".formatted(what, millis));
    }

    private static void figure(String what, long millis) {
        System.out.println("[figures] commit, " + what + ": median " + millis + " ms");
    }

    @Test
    void givenOneSlowSafekeeper_whenCommitting_thenTheSecondFastestCounts() throws Exception {
        assertFast("three fast Safekeepers");
        for (String id : Platform.SAFEKEEPERS) {
            for (Direction direction : Direction.values()) {
                link(id).delay(direction, DELAY);
                assertFast(id + " slow by " + DELAY.toMillis() + " ms " + direction);
                link(id).heal();
            }
        }
    }

    @Test
    void givenTwoSlowSafekeepers_whenCommitting_thenTheFasterOfThemCounts() throws Exception {
        for (Direction direction : Direction.values()) {
            link("sk1").delay(direction, DELAY);
            link("sk2").delay(direction, DELAY.multipliedBy(3));
            assertAsSlowAsTheDelay(
                    "sk1 slow by %d ms, sk2 by %d ms, %s".formatted(DELAY.toMillis(), 3 * DELAY.toMillis(), direction));
            link("sk1").heal();
            assertFast("sk2 still slow");
            link("sk2").heal();
        }
    }

    @Test
    void givenALinkThatLosesPackets_whenCommitting_thenTheOthersCount() throws Exception {
        for (String id : Platform.SAFEKEEPERS) {
            for (Direction direction : Direction.values()) {
                link(id).lose(direction);
                assertFast("packets of " + id + " lost " + direction);
                link(id).heal();
            }
        }
        // Where the second fastest loses them it is felt.
        link("sk1").hold(Direction.FROM_SAFEKEEPER);
        link("sk2").lose(Direction.FROM_SAFEKEEPER);
        long millis = commitMillis(SLOW_COMMITS);
        figure("sk1 cut off, packets of sk2 lost", millis);
        assertTrue(millis >= FaultyLink.RETRANSMISSION.toMillis(), "median of a commit = %d ms".formatted(millis));
    }

    @Test
    void givenASafekeeperThatIsCutOff_whenCommitting_thenTheOthersCountAndItCatchesUp() throws Exception {
        for (String id : Platform.SAFEKEEPERS) {
            for (Direction direction : Direction.values()) {
                link(id).hold(direction);
                assertFast(id + " cut off " + direction);
                link(id).heal();
                database.awaitAllFollow();
            }
        }
    }

    @Test
    void givenAConnectionThatIsHalfOpen_whenCommitting_thenTheOthersCountAndItCatchesUp() throws Exception {
        for (String id : Platform.SAFEKEEPERS) {
            for (End end : End.values()) {
                link(id).endFor(end);
                assertFast("connections of " + id + " ended for " + end + " only");
                if (!Rounds.all()) {
                    link(id).heal();
                }
                // Else both sides find out by themselves that nobody is there: 60 s of silence.
                database.awaitAllFollow(Duration.ofSeconds(90));
                link(id).heal();
                database.awaitAllFollow();
            }
        }
    }

    /** Two cut off in either direction: nothing is acknowledged before one of them is back. */
    @Test
    void givenTwoSafekeepersThatAreCutOff_whenCommitting_thenCommitsWait() throws Exception {
        for (Direction direction : Direction.values()) {
            link("sk2").hold(direction);
            link("sk3").hold(direction);
            try (PreparedStatement insert = client.prepareStatement("INSERT INTO committed VALUES (1)")) {
                Thread waiting = Thread.ofPlatform().daemon().start(() -> {
                    try {
                        insert.executeUpdate();
                    } catch (SQLException e) {
                        throw new IllegalStateException(e);
                    }
                });
                Awaitility.await("the commit waits")
                        .during(Duration.ofSeconds(1))
                        .atMost(Duration.ofSeconds(10))
                        .until(() -> waiting.isAlive() && database.agent().number(TestDatabase.WAITING) == 1);
                for (String id : List.of("sk2", "sk3")) {
                    link(id).heal();
                }
                assertTrue(waiting.join(Duration.ofSeconds(20)), "answered when the Safekeepers are back");
            }
            database.awaitAllFollow();
        }
    }

    /** The Safekeeper's own sockets, over a cable that the kernel cuts: nobody is told, packets are lost. */
    @Test
    void givenASafekeeperBehindACable_whenItIsCut_thenTheOthersCountAndItCatchesUp() throws Exception {
        assumeTrue(NetworkNamespace.allowed(), "no right to make a network namespace (root only)");
        for (String id : Rounds.all() ? Platform.SAFEKEEPERS : List.of("sk3")) {
            cutTheCableOf(id);
        }
    }

    private void cutTheCableOf(String id) throws Exception {
        Path socket = platform.data().resolve("link.sock");
        Files.deleteIfExists(socket);
        try (FaultyLink link = FaultyLink.at(socket);
                NetworkNamespace cable = NetworkNamespace.open(link.socket())) {
            platform.kill(id);
            platform.start(id, cable.address(), List.of(), Map.of());
            database.awaitAllFollow();
            String other = Platform.SAFEKEEPERS.get((Platform.SAFEKEEPERS.indexOf(id) + 1) % 3);
            link(other).delay(Direction.TO_SAFEKEEPER, DELAY);
            assertFast(other + " slow, " + id + " behind a cable");
            link(other).heal();
            for (Cut cut : Cut.values()) {
                cut.make(cable);
                assertFast("cable of " + id + " cut: " + cut);
                long behind = behind(id);
                assertTrue(behind > 0, id + " counts as far as it got: behind=" + behind);
                cable.heal();
                database.awaitAllFollow();
            }
            platform.kill(id);
            platform.startSafekeepers();
        }
    }

    /** Bytes that the writer has and a Safekeeper has not confirmed. */
    private long behind(String safekeeper) throws Exception {
        return database.agent()
                .number("SELECT pg_current_wal_lsn() - flush_lsn FROM pg_stat_replication WHERE application_name = '"
                        + safekeeper + "'");
    }

    private enum Cut {
        BOTH_DIRECTIONS {
            @Override
            void make(NetworkNamespace cable) throws IOException {
                cable.cut();
            }
        },
        TO_SAFEKEEPER {
            @Override
            void make(NetworkNamespace cable) throws IOException {
                cable.cutOutgoing();
            }
        },
        FROM_SAFEKEEPER {
            @Override
            void make(NetworkNamespace cable) throws IOException {
                cable.cutIncoming();
            }
        },
        MOST_OF_IT {
            @Override
            void make(NetworkNamespace cable) throws IOException {
                cable.squeeze();
            }
        };

        abstract void make(NetworkNamespace cable) throws IOException;
    }
}
