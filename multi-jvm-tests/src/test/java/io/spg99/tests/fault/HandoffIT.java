package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.tests.ledger.Ledger;
import io.spg99.tests.process.PostgresProcesses;
import io.spg99.tests.process.ProcessSignal;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.postgresql.PGConnection;

/** A writer's profile changes while clients are at work: nobody notices more than a pause, whatever dies on the way. */
@ExtendWith(SharedPlatform.class)
class HandoffIT {

    private static final List<String> PROFILES = List.of("L2", "L1", "L3", "L2", "L4", "L1");

    @Test
    void givenClientsAtWork_whenTheProfileChangesAgainAndAgain_thenNoTransactionFailsAndNoneIsLostOrDoubled(
            Platform platform) throws Exception {
        TestDatabase database = platform.createDatabase();
        try (Ledger ledger = database.openLedger(16, 100);
                Connection session = database.connect()) {
            execute(session, "SET application_name = 'kept'");
            execute(session, "LISTEN news");
            int rounds = Rounds.of(3, 20);
            for (int round = 0; round < rounds; round++) {
                String profile = PROFILES.get(round % PROFILES.size());
                long generation = database.generation();
                database.scale(profile);
                JsonNode after = database.awaitProfile(profile);
                assertTrue(after.path("generation").asLong() > generation);
                assertEquals("ready", after.path("state").asText());
                ledger.awaitProgress(100);
                assertEquals("kept", ask(session, "SHOW application_name"));
            }
            execute(session, "NOTIFY news");
            assertTrue(session.unwrap(PGConnection.class).getNotifications(5000).length > 0, "still listening");
            ledger.stop();
            ledger.verify();
            assertEquals(Map.of(), ledger.failures());
        }
    }

    @Test
    void givenWhatMustNotBeInterrupted_whenAProfileIsAskedFor_thenItWaitsSaysWhyAndIsDoneWhenThatIsGone(
            Platform platform) throws Exception {
        TestDatabase database = platform.createDatabase();
        try (Connection working = database.connect();
                Connection pinned = database.connect()) {
            working.setAutoCommit(false);
            execute(working, "CREATE TABLE slow (n int)");
            execute(pinned, "CREATE TEMP TABLE mine (n int)");
            long generation = database.generation();
            database.scale("L2");
            JsonNode waiting = database.await(
                    json -> json.path("scale_failure_reason").asText().contains("transaction"));
            assertEquals(generation, waiting.path("generation").asLong());
            execute(working, "INSERT INTO slow VALUES (1)");
            working.commit();
            database.await(json -> json.path("scale_failure_reason").asText().contains("pinned_sessions=1"));
            assertEquals("0", ask(pinned, "SELECT count(*) FROM mine"));
            execute(pinned, "DROP TABLE mine");
            assertTrue(database.awaitProfile("L2").path("scale_failure_reason").isNull());
            assertEquals("1", ask(pinned, "SELECT count(*) FROM slow"));
        }
    }

    /** Who dies, and when. */
    record Death(String state, String victim) {}

    static Stream<Death> deaths() {
        Stream<Death> brief = Stream.of(
                new Death("PREPARING", "candidate"),
                new Death("PREPARING", "writer"),
                new Death("STARTING_NEW", "candidate"));
        Stream<Death> all = Stream.of("PREPARING", "FREEZING", "DRAINING", "STOPPING_OLD", "STARTING_NEW", "COOLDOWN")
                .flatMap(state -> Stream.of("candidate", "writer", "platform").map(who -> new Death(state, who)));
        return Rounds.all() ? all : brief;
    }

    @ParameterizedTest
    @MethodSource("deaths")
    void givenAHandoff_whenSomethingDiesInTheMiddle_thenOneWriterServesAndNothingIsLost(Death death, Platform platform)
            throws Exception {
        TestDatabase database = platform.createDatabase();
        try (Ledger ledger = database.openLedger(8, 200)) {
            long writer = database.postmaster();
            long generation = database.generation();
            database.scale("L2");
            database.await(json -> json.path("scale_state").asText().equals(death.state())
                    || json.path("generation").asLong() > generation);
            switch (death.victim()) {
                case "writer" -> ProcessSignal.KILL.send(writer);
                case "candidate" -> killCandidate(platform, database, writer);
                case "platform" -> {
                    platform.killDev();
                    platform.startDev();
                }
                default -> throw new IllegalArgumentException(death.toString());
            }
            // Whichever way it went, the profile that was asked for is reached: by the handoff, or by the next start.
            database.awaitProfile("L2");
            ledger.awaitProgress(200);
            ledger.stop();
            ledger.verify();
            Awaitility.await("one writer")
                    .atMost(Duration.ofSeconds(30))
                    .untilAsserted(() ->
                            assertEquals(1, postmasters(platform, database).size()));
        }
    }

    /** The newer of two postmasters; it may be gone, or not be there yet. */
    private static void killCandidate(Platform platform, TestDatabase database, long writer) throws Exception {
        Awaitility.await("a candidate")
                .atMost(Duration.ofSeconds(20))
                .until(() -> postmasters(platform, database).stream().anyMatch(pid -> pid != writer));
        for (long pid : postmasters(platform, database)) {
            if (pid != writer) {
                ProcessSignal.KILL.send(pid);
            }
        }
    }

    private static List<Long> postmasters(Platform platform, TestDatabase database) {
        List<Long> all = PostgresProcesses.ofDatabase(platform.data(), database.id());
        return all.stream()
                .filter(pid -> ProcessHandle.of(pid)
                        .flatMap(ProcessHandle::parent)
                        .filter(parent -> all.contains(parent.pid()))
                        .isEmpty())
                .toList();
    }

    @Test
    void givenASafekeeperThatIsLost_whenTheProfileChanges_thenItIsDoneAllTheSame(Platform platform) throws Exception {
        TestDatabase database = platform.createDatabase();
        try (Ledger ledger = database.openLedger(8, 100)) {
            platform.kill("sk1");
            database.scale("L2");
            database.awaitProfile("L2");
            ledger.awaitProgress(100);
            ledger.stop();
            ledger.verify();
        } finally {
            platform.startSafekeepers();
        }
    }

    @Test
    void givenAStop_whenACandidateIsPrepared_thenNothingOfEitherIsLeftAndTheNextStartHasTheProfile(Platform platform)
            throws Exception {
        TestDatabase database = platform.createDatabase();
        database.scale("L3");
        database.awaitScaleState("PREPARING");
        database.stop();
        Awaitility.await("no process is left")
                .atMost(Duration.ofSeconds(20))
                .until(() -> postmasters(platform, database).isEmpty());
        assertEquals(1, database.number("SELECT 1"));
        assertEquals("L3", database.describe().path("current_profile").asText());
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static String ask(Connection connection, String query) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(query)) {
            row.next();
            return row.getString(1);
        }
    }
}
