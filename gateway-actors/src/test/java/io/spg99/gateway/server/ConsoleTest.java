package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** The admin console, as its clients see it. */
@ExtendWith(SharedPostgres.class)
class ConsoleTest {

    private static GatewayFixture gateway;
    private static ExecutorService clients;

    private Connection console;
    private Connection client;

    @BeforeAll
    static void start(TestPostgres postgres) throws Exception {
        gateway = new GatewayFixture(postgres, "pool.linger = 0s, pool.freeze-timeout = 2s");
        clients = Executors.newCachedThreadPool();
    }

    @AfterAll
    static void stop() throws Exception {
        clients.shutdownNow();
        gateway.stop();
    }

    @BeforeEach
    void connect() throws SQLException {
        gateway.databases.asleep();
        gateway.databases.serverConnections(2);
        gateway.databases.awake();
        client = gateway.connect();
        console = gateway.connect("spg99", administrator(GatewayFixture.API_KEY));
    }

    @AfterEach
    void close() throws SQLException {
        console.close();
        client.close();
    }

    private static Properties administrator(String apiKey) {
        Properties properties = gateway.properties();
        properties.setProperty("user", "anybody");
        properties.setProperty("password", apiKey);
        return properties;
    }

    private List<Map<String, String>> show(String subject) throws SQLException {
        List<Map<String, String>> found = new ArrayList<>();
        try (Statement statement = console.createStatement();
                ResultSet rows = statement.executeQuery("SHOW " + subject)) {
            while (rows.next()) {
                Map<String, String> row = new LinkedHashMap<>();
                for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
                    row.put(rows.getMetaData().getColumnName(i), String.valueOf(rows.getString(i)));
                }
                found.add(row);
            }
        }
        return found;
    }

    private void run(String command) throws SQLException {
        execute(console, command);
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static String query(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(sql)) {
            row.next();
            return row.getString(1);
        }
    }

    private static void await(String what, Callable<Boolean> condition) {
        Awaitility.await(what).atMost(Duration.ofSeconds(5)).until(condition);
    }

    @Test
    void givenClientsAndServerConnections_thenTheyAreShown() throws Exception {
        execute(client, "SET application_name = 'me'");
        execute(client, "CREATE TEMP TABLE mine (n int)");
        client.setAutoCommit(false);
        String backend = query(client, "SELECT pg_backend_pid()");
        Map<String, String> pool = show("POOLS").getFirst();
        assertEquals(TestPostgres.DATABASE, pool.get("database"));
        assertEquals(TestPostgres.USER, pool.get("user"));
        assertEquals(List.of("1", "0", "1", "0"), values(pool, "cl_active", "cl_waiting", "sv_active", "paused"));
        Map<String, String> shown = show("CLIENTS").getFirst();
        assertEquals(
                List.of("active", backend, "TLSv1.3", "temporary_object"),
                values(shown, "state", "link", "tls", "pinned"));
        Map<String, String> server = show("SERVERS").getFirst();
        assertEquals(List.of("active", backend, shown.get("ptr")), values(server, "state", "remote_pid", "link"));
        assertEquals("temporary_object", show("PINNED").getFirst().get("reason"));
        assertEquals("db-1", show("LEASES").getFirst().get("id"));
        client.rollback();
        Map<String, String> stats = show("STATS").getFirst();
        assertTrue(number(stats, "total_xact_count") >= 3, stats.toString());
        assertTrue(number(stats, "total_received") > 100, stats.toString());
        assertTrue(number(stats, "total_sent") > 100, stats.toString());
        assertEquals("2", show("DATABASES").getFirst().get("pool_size"));
        assertTrue(show("VERSION").toString().contains("SPG99 "));
        assertTrue(show("LISTS").stream().anyMatch(row -> row.containsValue("used_clients")));
        assertTrue(show("CONFIG").stream().anyMatch(row -> row.containsValue("max_client_conn")));
        try (Statement help = console.createStatement()) {
            help.execute("SHOW HELP");
            assertTrue(String.valueOf(help.getWarnings()).contains("SHOW POOLS"));
        }
    }

    private static long number(Map<String, String> row, String column) {
        return Long.parseLong(String.valueOf(row.get(column)));
    }

    private static List<String> values(Map<String, String> row, String... columns) {
        return Arrays.stream(columns)
                .map(column -> String.valueOf(row.get(column)))
                .toList();
    }

    @Test
    void givenAPreparedStatement_whenItsColumnsComeInBinaryForm_thenTheNumbersAreTheSame() throws Exception {
        query(client, "SELECT 1");
        await(
                "the server connection to be given back",
                () -> number(show("POOLS").getFirst(), "sv_idle") == 1);
        try (PreparedStatement pools = console.prepareStatement("SHOW POOLS")) {
            for (int i = 0; i < 10; i++) {
                try (ResultSet row = pools.executeQuery()) {
                    assertTrue(row.next());
                    assertEquals(1, row.getLong("sv_idle"));
                    assertEquals(TestPostgres.DATABASE, row.getString("database"));
                }
            }
        }
    }

    @Test
    void givenATransaction_whenPaused_thenItEndsFirstAndTheNextWaitsForTheResume() throws Exception {
        client.setAutoCommit(false);
        query(client, "SELECT 1");
        Future<?> paused = clients.submit(() -> {
            run("PAUSE " + TestPostgres.DATABASE);
            return null;
        });
        await("the pause", () -> {
            try (Connection second = gateway.connect("spg99", administrator(GatewayFixture.API_KEY));
                    Statement statement = second.createStatement();
                    ResultSet row = statement.executeQuery("SHOW DATABASES")) {
                row.next();
                return row.getInt("paused") == 1;
            }
        });
        assertFalse(paused.isDone());
        client.commit();
        paused.get(5, TimeUnit.SECONDS);
        Future<String> next = clients.submit(() -> query(client, "SELECT 2"));
        await("the wait", () -> "1".equals(show("POOLS").getFirst().get("cl_waiting")));
        run("RESUME");
        assertEquals("2", next.get(5, TimeUnit.SECONDS));
    }

    @Test
    void givenATransactionThatLasts_whenPaused_thenItSaysSoAndEverythingGoesOn() throws Exception {
        client.setAutoCommit(false);
        query(client, "SELECT 1");
        assertEquals(
                "57014", assertThrows(SQLException.class, () -> run("PAUSE")).getSQLState());
        assertEquals("0", show("DATABASES").getFirst().get("paused"));
        assertEquals("2", query(client, "SELECT 2"));
        client.commit();
    }

    @Test
    void givenServerConnections_whenReconnected_thenOthersAreUsed() throws Exception {
        String before = query(client, "SELECT pg_backend_pid()");
        run("RECONNECT " + TestPostgres.USER + "." + TestPostgres.DATABASE);
        assertNotEquals(before, query(client, "SELECT pg_backend_pid()"));
        client.setAutoCommit(false);
        String used = query(client, "SELECT pg_backend_pid()");
        run("RECONNECT db-1");
        assertEquals(used, query(client, "SELECT pg_backend_pid()"));
        client.commit();
        assertNotEquals(used, query(client, "SELECT pg_backend_pid()"));
        client.commit();
    }

    @Test
    void givenClients_whenKilled_then57P01AndTheNextOnesAreServed() throws Exception {
        query(client, "SELECT 1");
        run("KILL " + TestPostgres.DATABASE);
        assertEquals(
                "57P01",
                assertThrows(SQLException.class, () -> query(client, "SELECT 1"))
                        .getSQLState());
        try (Connection next = gateway.connect()) {
            assertEquals("1", query(next, "SELECT 1"));
        }
    }

    @Test
    void givenWhatIsNoCommand_thenAnErrorAndTheSessionGoesOn() throws Exception {
        assertEquals(
                "42601", assertThrows(SQLException.class, () -> run("SELECT 1")).getSQLState());
        assertEquals(
                "3D000",
                assertThrows(SQLException.class, () -> run("PAUSE nothing")).getSQLState());
        run("");
        assertEquals(1, show("VERSION").size());
        assertTrue(console.isValid(1));
    }

    @Test
    void givenAWrongKeyOrNoDirectory_thenNobodyGetsIn() {
        SQLException wrong = assertThrows(
                SQLException.class,
                () -> gateway.connect("spg99", administrator("guess")).close());
        assertEquals("28P01", wrong.getSQLState());
        assertFalse(wrong.toString().contains("guess"));
        gateway.directoryDown = true;
        try {
            assertEquals(
                    "57P03",
                    assertThrows(
                                    SQLException.class,
                                    () -> gateway.connect("spg99", administrator(GatewayFixture.API_KEY))
                                            .close())
                            .getSQLState());
        } finally {
            gateway.directoryDown = false;
        }
    }

    @Test
    void givenPsql_whenPresent_thenItWorks() throws Exception {
        assumeTrue(Files.isExecutable(Path.of("/usr/bin/psql")), "psql is not installed");
        query(client, "SELECT 1");
        ProcessBuilder psql = new ProcessBuilder(
                "psql",
                "-AtX",
                "-c",
                "SHOW POOLS",
                "-c",
                "SHOW HELP",
                "host=localhost port=" + gateway.server.port() + " user=admin dbname=spg99 sslmode=require");
        psql.environment().put("PGPASSWORD", GatewayFixture.API_KEY);
        Process process = psql.redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        assertTrue(output.contains(TestPostgres.DATABASE + "|" + TestPostgres.USER + "|"), output);
        assertTrue(output.contains("PAUSE [database]"), output);
    }
}
