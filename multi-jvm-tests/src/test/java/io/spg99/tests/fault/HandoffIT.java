package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.compute.image.BaseImages;
import io.spg99.storage.wal.Lsn;
import io.spg99.tests.ledger.Ledger;
import io.spg99.tests.process.EventFollower;
import io.spg99.tests.process.PostgresProcesses;
import io.spg99.tests.process.ProcessOutput;
import io.spg99.tests.process.ProcessSignal;
import io.spg99.tests.process.Program;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.postgresql.PGConnection;
import org.postgresql.PGStatement;

/** A writer's profile changes while clients are at work: nobody notices more than a pause, whatever dies on the way. */
@ExtendWith(SharedPlatform.class)
class HandoffIT {

    private static final List<String> PROFILES = List.of("L1", "L2", "L3", "L4", "L5");

    @Test
    void givenClientsAtWork_whenTheProfileChangesAgainAndAgain_thenNoTransactionFailsAndNoneIsLostOrDoubled(
            Platform platform) throws Exception {
        TestDatabase database = platform.createDatabase();
        try (Ledger ledger = database.openLedger(Rounds.of(16, 32), 100);
                Connection session = database.connect();
                PreparedStatement prepared = session.prepareStatement("SELECT ?::int + 1");
                EventFollower events = platform.dev().api().follow()) {
            execute(session, "SET application_name = 'kept'");
            execute(session, "LISTEN news");
            // From now on it has a name on the server.
            prepared.unwrap(PGStatement.class).setPrepareThreshold(1);
            int rounds = Rounds.of(3, 20);
            Random random = Rounds.random();
            String profile = "L1";
            for (int round = 0; round < rounds; round++) {
                profile = another(profile, random);
                long generation = database.generation();
                database.scale(profile);
                JsonNode after = database.awaitProfile(profile);
                assertTrue(after.path("generation").asLong() > generation);
                assertEquals("ready", after.path("state").asText());
                ledger.awaitProgress(100);
                assertEquals("kept", ask(session, "SHOW application_name"));
                assertEquals(round + 1, next(prepared, round));
            }
            execute(session, "NOTIFY news");
            assertTrue(session.unwrap(PGConnection.class).getNotifications(5000).length > 0, "still listening");
            ledger.stop();
            ledger.verify();
            assertEquals(Map.of(), ledger.failures());
            awaitHandoffs(events, database, rounds);
        }
    }

    /** Transactions of seven statements each, as pgbench runs them; its history says which of them there were. */
    @Test
    void givenPgbenchAtWork_whenTheProfileChangesAgainAndAgain_thenItsHistoryHoldsWhatItCounts(Platform platform)
            throws Exception {
        assumeTrue(Rounds.all(), "takes minutes: mvn verify -Plong");
        assumeTrue(Program.succeeds("pgbench", "--version"), "pgbench is not installed");
        TestDatabase database = platform.createDatabase();
        assertTrue(Program.succeeds("pgbench", "--initialize", "--quiet", "--scale=5", database.dsn()));
        Process load = new ProcessBuilder(
                        "pgbench",
                        "--no-vacuum",
                        "--protocol=prepared",
                        "--client=32",
                        "--jobs=2",
                        "--time=240",
                        database.dsn())
                .redirectErrorStream(true)
                .start();
        try (EventFollower events = platform.dev().api().follow()) {
            ProcessOutput output = ProcessOutput.of(load);
            Random random = Rounds.random();
            String profile = "L1";
            int handoffs = 0;
            while (load.isAlive()) {
                profile = another(profile, random);
                database.scale(profile);
                database.awaitProfile(profile);
                handoffs++;
            }
            System.out.println("[figures] handoffs under pgbench: " + handoffs);
            assertTrue(handoffs >= 20, "handoffs=" + handoffs);
            Duration soon = Duration.ofSeconds(10);
            long counted = Long.parseLong(output.awaitValue("transactions actually processed: ", '\n', soon));
            assertEquals("0 (0.000%)", output.awaitValue("number of failed transactions: ", '\n', soon));
            assertEquals(counted, database.number("SELECT count(*) FROM pgbench_history"));
            long sum = database.number("SELECT sum(delta) FROM pgbench_history");
            assertEquals(sum, database.number("SELECT sum(abalance) FROM pgbench_accounts"));
            assertEquals(sum, database.number("SELECT sum(tbalance) FROM pgbench_tellers"));
            assertEquals(sum, database.number("SELECT sum(bbalance) FROM pgbench_branches"));
            awaitHandoffs(events, database, handoffs);
        } finally {
            load.destroyForcibly();
        }
    }

    /** Any jump: no profile twice in a row. */
    private static String another(String profile, Random random) {
        List<String> others =
                PROFILES.stream().filter(other -> !other.equals(profile)).toList();
        return others.get(random.nextInt(others.size()));
    }

    private static int next(PreparedStatement prepared, int number) throws SQLException {
        prepared.setInt(1, number);
        try (ResultSet row = prepared.executeQuery()) {
            row.next();
            return row.getInt(1);
        }
    }

    /** All of them to the end, their states in order. */
    private static void awaitHandoffs(EventFollower events, TestDatabase database, int count) {
        Awaitility.await("the events of " + count + " handoffs")
                .atMost(Duration.ofSeconds(20))
                .until(() -> events.steps(database.id(), "scale_state").stream()
                                .filter(step -> step.from().equals("COOLDOWN"))
                                .count()
                        == count);
        events.assertHandoffsInOrder(database.id());
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

    /** Of states that end by themselves. */
    private static final Map<String, String> LAST_EVENT =
            Map.of("FREEZING", "DrainStarted", "SWITCHING", "HandoffCompleted");

    /** Who dies, and when. */
    record Death(String state, String victim) {}

    static Stream<Death> deaths() {
        Stream<Death> brief = Stream.of(
                new Death("PREPARING", "candidate"),
                new Death("PREPARING", "writer"),
                new Death("STARTING_NEW", "candidate"),
                new Death("STOPPING_OLD", "nobody"));
        Stream<Death> all = Stream.concat(
                Stream.of("PREPARING", "FREEZING", "DRAINING", "STOPPING_OLD", "STARTING_NEW", "SWITCHING", "COOLDOWN")
                        .flatMap(state -> Stream.of("candidate", "writer", "platform", "safekeeper")
                                .map(who -> new Death(state, who))),
                Stream.of(new Death("STOPPING_OLD", "nobody")));
        return Rounds.all() ? all : brief;
    }

    /**
     * States that last for milliseconds are made to last: for DRAINING somebody is in a transaction, and while it drains the
     * writer is frozen (STOPPING_OLD, which it then does not end by itself) or the candidate (STARTING_NEW). FREEZING and SWITCHING
     * end with an event that the journal takes its time over.
     */
    @ParameterizedTest
    @MethodSource("deaths")
    void givenAHandoff_whenSomethingDiesInTheMiddle_thenOneWriterServesAndNothingIsLost(Death death, Platform platform)
            throws Exception {
        TestDatabase database = platform.createDatabase();
        boolean held = List.of("DRAINING", "STOPPING_OLD", "STARTING_NEW").contains(death.state());
        String last = LAST_EVENT.get(death.state());
        try (Ledger ledger = database.openLedger(8, 200);
                ScaleStateLog states = new ScaleStateLog(platform.data(), database.id());
                SlowJournal journal = new SlowJournal(platform.data());
                Connection slow = database.connect()) {
            if (last != null) {
                journal.slowDown(database.id(), last);
            }
            Thread sleeper = Thread.ofPlatform().unstarted(() -> sleepAgainAndAgain(slow));
            if (held) {
                sleeper.start();
            }
            long writer = database.postmaster();
            long generation = database.generation();
            database.scale("L2");
            // Found ahead: a look at every process takes longer than some states last.
            long candidate = death.victim().equals("candidate") ? awaitCandidate(platform, database, writer) : writer;
            List<Long> frozen = List.of();
            if (held && !death.state().equals("DRAINING")) {
                states.await("DRAINING");
                frozen = freeze(platform, database, writer, death.state().equals("STOPPING_OLD"));
            }
            states.await(death.state());
            kill(platform, death.victim(), writer, candidate);
            System.out.println("[figures] " + death + " hit " + states.latest());
            if (!death.victim().equals("nobody")) {
                for (long pid : frozen) {
                    ProcessSignal.CONT.send(pid);
                }
            }
            // Whichever way it went, the profile that was asked for is reached: by the handoff, or by the next start.
            JsonNode after = database.awaitProfile("L2");
            if (death.victim().equals("nobody")) {
                assertEquals(generation + 1, after.path("generation").asLong(), "the candidate took over");
            }
            ledger.awaitProgress(200);
            ledger.stop();
            ledger.verify();
            Awaitility.await("one writer")
                    .atMost(Duration.ofSeconds(30))
                    .untilAsserted(() ->
                            assertEquals(1, postmasters(platform, database).size()));
        }
    }

    private static void kill(Platform platform, String victim, long writer, long candidate) throws Exception {
        switch (victim) {
            case "writer" -> ProcessSignal.KILL.send(writer);
            case "candidate" -> ProcessSignal.KILL.send(candidate);
            case "safekeeper" -> platform.kill("sk1");
            case "platform" -> {
                platform.killDev();
                platform.startDev();
            }
            case "nobody" -> {}
            default -> throw new IllegalArgumentException(victim);
        }
    }

    /** Transactions shorter than the drain's limit, one after the other, until the connection ends. */
    private static void sleepAgainAndAgain(Connection connection) {
        try {
            while (true) {
                execute(connection, "SELECT pg_sleep(0.3)");
            }
        } catch (SQLException e) {
            return; // that is its end
        }
    }

    /**
     * Of the writer its postmaster and the agent's backend, whose commit is its last: what it drains goes on. Or every process of
     * the candidate.
     */
    private static List<Long> freeze(Platform platform, TestDatabase database, long writer, boolean old)
            throws IOException {
        List<Long> all = PostgresProcesses.ofDatabase(platform.data(), database.id());
        Path home = PostgresProcesses.workingDirectory(writer);
        List<Long> chosen = all.stream()
                .filter(pid -> PostgresProcesses.workingDirectory(pid).equals(home) == old)
                .filter(pid ->
                        !old || pid == writer || PostgresProcesses.title(pid).contains(BaseImages.SUPERUSER))
                .toList();
        for (long pid : chosen) {
            ProcessSignal.STOP.send(pid);
        }
        return chosen;
    }

    private static long awaitCandidate(Platform platform, TestDatabase database, long writer) {
        return Awaitility.await("a candidate")
                .atMost(Duration.ofSeconds(20))
                .pollInterval(Duration.ofMillis(10))
                .until(
                        () -> postmasters(platform, database).stream()
                                .filter(pid -> pid != writer)
                                .findFirst(),
                        Optional::isPresent)
                .orElseThrow();
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
    void givenAWriterThatHangs_whenAProfileIsAskedFor_thenItIsSaidAndItIsDoneWhenTheWriterGoesOn(Platform platform)
            throws Exception {
        TestDatabase database = platform.createDatabase();
        try (Ledger ledger = database.openLedger(8, 100)) {
            List<Long> writer = database.processes();
            for (long pid : writer) {
                ProcessSignal.STOP.send(pid);
            }
            try {
                database.scale("L2");
                database.await(
                        json -> json.path("scale_failure_reason").asText().contains("the writer has not answered"));
            } finally {
                for (long pid : writer) {
                    ProcessSignal.CONT.send(pid);
                }
            }
            assertTrue(database.awaitProfile("L2").path("scale_failure_reason").isNull());
            ledger.awaitProgress(100);
            ledger.stop();
            ledger.verify();
            assertEquals(Map.of(), ledger.failures());
        }
    }

    /** Of the last writer but one there is WAL, but no checkpoint at its end: the snapshot is made across that. */
    @Test
    void givenAWriterThatLeftNoShutdownCheckpoint_whenASnapshotIsMadeAfterwards_thenTheNextStartsOnIt(Platform platform)
            throws Exception {
        TestDatabase database = platform.createDatabase();
        try (Ledger ledger = database.openLedger(8, 200)) {
            database.scale("L2");
            Lsn first = Lsn.parse(database.awaitProfile("L2").path("wal_lsn").asText());
            ledger.awaitProgress(200);
            ledger.stop();
            database.stop();
            Awaitility.await("a snapshot beyond the handoff")
                    .atMost(Duration.ofSeconds(30))
                    .until(() -> {
                        String end = database.describe().path("snapshot_lsn").asText("");
                        return !end.isEmpty() && Lsn.parse(end).isAfter(first);
                    });
            ledger.verify();
            try (Connection agent = database.agent().connect(database.name())) {
                execute(agent, "CREATE EXTENSION amcheck");
                execute(
                        agent,
                        "SELECT bt_index_check(indexrelid, true) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
                                + " WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'btree')");
            }
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
