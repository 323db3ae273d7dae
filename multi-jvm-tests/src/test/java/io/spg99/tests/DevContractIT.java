package io.spg99.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.storage.file.FileTree;
import io.spg99.tests.ledger.Ledger;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.JavaProcess;
import io.spg99.tests.process.OrdinaryUser;
import io.spg99.tests.process.PostgresProcesses;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What {@code ./spg99 dev} promises about itself: files, ports, signals, and what is left behind. */
class DevContractIT {

    private Path directory;

    @BeforeEach
    void makeDirectory() throws IOException {
        directory = DevProcess.temporaryDirectory();
    }

    @AfterEach
    void removeDirectory() throws IOException {
        FileTree.delete(directory);
    }

    private record Outcome(int exitCode, String output) {}

    private static Outcome run(String... arguments) throws Exception {
        return finish(JavaProcess.start(List.of(arguments)));
    }

    private static Outcome finish(Process process) throws Exception {
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertTrue(process.waitFor(30, TimeUnit.SECONDS), "did not end: " + output);
        return new Outcome(process.exitValue(), output);
    }

    private static void assertRefused(Outcome outcome, String hint) {
        assertEquals(1, outcome.exitCode(), outcome.output());
        List<String> lines = outcome.output().lines().toList();
        assertEquals(1, lines.size(), outcome.output());
        assertTrue(lines.get(0).startsWith("spg99: ") && lines.get(0).contains(hint), outcome.output());
    }

    @Test
    void helpAndVersionExist() throws Exception {
        assertTrue(run("--help").output().contains("dev"));
        assertTrue(run("dev", "--help").output().contains("--idle-timeout"));
        assertTrue(run("--version").output().contains("spg99"));
        assertEquals(2, run("dev", "--no-such-option").exitCode());
    }

    @Test
    void givenABusyPort_whenStarted_thenOneLineSaysWhatToDo() throws Exception {
        try (ServerSocket busy = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            String port = String.valueOf(busy.getLocalPort());
            assertRefused(finish(DevProcess.launch(directory.resolve("a"), "--http-port", port)), "--http-port");
            assertRefused(finish(DevProcess.launch(directory.resolve("b"), "--gateway-port", port)), "--gateway-port");
        }
    }

    @Test
    void givenADirectoryOfSomebodyElse_whenStarted_thenItIsLeftAlone() throws Exception {
        Path foreign = Files.createDirectory(directory.resolve("foreign"));
        Path file = Files.writeString(foreign.resolve("thesis.txt"), "years of work");
        assertRefused(finish(DevProcess.launch(foreign)), "--data");
        assertRefused(finish(DevProcess.launch(foreign, "--reset")), "--data");
        assertTrue(Files.exists(file));
        assertRefused(finish(DevProcess.launch(file)), "--data");
    }

    @Test
    void givenARunningPlatform_whenASecondStartsOnItsDirectory_thenItIsRefused() throws Exception {
        Path data = directory.resolve("data");
        try (DevProcess first = DevProcess.start(data)) {
            assertRefused(finish(DevProcess.launch(data)), "another spg99");
            String httpPort = first.get("api_url").replaceAll(".*:", "");
            assertRefused(
                    finish(DevProcess.launch(
                            data, "--http-port", httpPort, "--gateway-port", first.get("gateway_port"))),
                    "another spg99");
            assertTrue(first.process().isAlive());

            assertEquals("demo", first.get("tenant"));
            assertEquals("app", first.get("database"));
            for (String field : List.of("api_url", "api_key", "console_url", "gateway_host", "gateway_port", "dsn")) {
                assertFalse(first.get(field).isEmpty(), field);
            }
            assertTrue(Files.exists(Path.of(first.get("gateway_ca"))));
            assertEquals(
                    "rw-------",
                    PosixFilePermissions.toString(Files.getPosixFilePermissions(data.resolve("dev.json"))));
        }
    }

    /** One scenario, because a platform takes seconds to start. */
    @Test
    void givenALedger_whenTheProgramIsKilledAndStartedAgainAndStopped_thenNothingAcknowledgedIsMissing()
            throws Exception {
        Path data = directory.resolve("data");
        DevProcess dev = DevProcess.start(data);
        Ledger ledger = new Ledger(dev.jdbcUrl(), dev.user(), dev.password());
        ledger.createTable();
        ledger.start(4);
        ledger.awaitProgress(500);
        dev.kill();
        Awaitility.await("end of every PostgreSQL process")
                .atMost(Duration.ofSeconds(5))
                .until(() -> PostgresProcesses.workingBelow(data).isEmpty());
        ledger.stop();
        Process starting = DevProcess.launch(data);
        Awaitility.await("the killed program's dev.json to be gone")
                .atMost(Duration.ofSeconds(20))
                .until(() -> !Files.exists(data.resolve("dev.json")));
        try (DevProcess again = DevProcess.ready(starting, data)) {
            assertEquals(dev.password(), again.password());
            assertEquals(dev.get("api_key"), again.get("api_key"));
            assertEquals(
                    dev.get("dsn").replace(dev.get("gateway_port"), ""),
                    again.get("dsn").replace(again.get("gateway_port"), ""));
            ledger.at(again.jdbcUrl()).verify();

            ledger.dropTable();
            ledger = new Ledger(again.jdbcUrl(), again.user(), again.password());
            ledger.createTable();
            ledger.start(2);
            ledger.awaitProgress(50);
            Instant begin = Instant.now();
            again.stop();
            Duration took = Duration.between(begin, Instant.now());
            assertTrue(took.compareTo(Duration.ofSeconds(10)) < 0, "took " + took);
        }
        assertEquals(List.of(), PostgresProcesses.workingBelow(data));
        ledger.stop();
        try (DevProcess last = DevProcess.start(data)) {
            JsonNode stopped = last.api().database(last.get("tenant"), last.get("database"));
            assertTrue(stopped.hasNonNull("wal_lsn") && stopped.hasNonNull("last_used_at"), stopped.toString());
            ledger.at(last.jdbcUrl()).verify();
        }
    }

    /** As root's home is. PostgreSQL, which runs as another user then, has its files elsewhere. */
    @Test
    void givenADirectoryBelowAClosedOne_whenStartedAndReset_thenDatabasesWorkAndNothingOfThemIsLeft() throws Exception {
        Path home = Files.createDirectory(
                directory.resolve("home"),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        Path data = home.resolve("data");
        try {
            Path elsewhere;
            String key;
            try (DevProcess dev = DevProcess.ready(DevProcess.launch(data, "--idle-timeout", "1s"), data)) {
                key = dev.get("api_key");
                elsewhere = data.resolve("postgres").toRealPath();
                assertEquals(OrdinaryUser.isRoot(), !elsewhere.startsWith(data), elsewhere.toString());
                assertEquals(
                        201,
                        dev.api()
                                .post("/v2/tenants", "{\"name\":\"forgotten\"}")
                                .status());
                execute(dev, "CREATE TABLE kept (i int)");
                // Its clients have gone; it has no idle timeout of its own.
                dev.api()
                        .awaitDatabase(
                                dev.get("tenant"),
                                dev.get("database"),
                                Duration.ofSeconds(20),
                                database -> database.path("state").asText().equals("stopped"));
                execute(dev, "INSERT INTO kept VALUES (1)");
            }
            assertEquals(List.of(), PostgresProcesses.workingIn(elsewhere));

            try (DevProcess again = DevProcess.start(data, "--reset")) {
                assertEquals(
                        elsewhere.startsWith(data), Files.exists(elsewhere), "of the platform before: " + elsewhere);
                assertNotEquals(key, again.get("api_key"));
                assertEquals(404, again.api().get("/v2/tenants/forgotten").status());
                assertThrows(SQLException.class, () -> execute(again, "INSERT INTO kept VALUES (2)"));
            }
        } finally {
            removeLinked(data.resolve("postgres"));
        }
    }

    private static void removeLinked(Path link) throws IOException {
        if (Files.isSymbolicLink(link)) {
            FileTree.delete(Files.readSymbolicLink(link));
        }
    }

    private static void execute(DevProcess dev, String sql) throws SQLException {
        try (Connection connection = DriverManager.getConnection(dev.jdbcUrl(), dev.user(), dev.password());
                Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    @Test
    void givenAnOrdinaryUser_whenItStartsThePlatform_thenItWorksAndRefusesADirectoryItCannotWrite() throws Exception {
        Optional<OrdinaryUser> other = OrdinaryUser.in(directory);
        assumeTrue(other.isPresent(), "needs root and setpriv; as an ordinary user every other test shows it");
        OrdinaryUser user = other.orElseThrow();
        Path closed = Files.createDirectory(directory.resolve("closed"));
        assertRefused(finish(DevProcess.launch(user, closed.resolve("data"))), "--data");

        Path home = Files.createDirectory(directory.resolve("home"));
        user.own(home);
        Path data = home.resolve("data");
        try (DevProcess dev = DevProcess.ready(DevProcess.launch(user, data), data)) {
            execute(dev, "CREATE TABLE t (i int)");
            List<Long> servers = PostgresProcesses.workingBelow(data);
            assertFalse(servers.isEmpty());
            for (long pid : servers) {
                assertTrue(user.runs(pid), PostgresProcesses.title(pid));
            }
        }
        assertEquals(List.of(), PostgresProcesses.workingBelow(data));
    }
}
