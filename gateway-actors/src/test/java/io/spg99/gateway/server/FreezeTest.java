package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.spg99.gateway.lease.WriterLocation;
import io.spg99.gateway.pool.ConnectionPools;
import io.spg99.gateway.pool.FreezeEvent;
import io.spg99.gateway.pool.PoolsCommand;
import io.spg99.gateway.pool.PoolsEvent;
import io.spg99.gateway.pool.PoolsSettings;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Freeze, drain, resume and move, through the pool actor's protocol, with clients at work. */
@ExtendWith(SharedPostgres.class)
class FreezeTest {

    private static final Duration LONG = Duration.ofSeconds(20);

    private TestPostgres postgres;
    private GatewayFixture gateway;
    private ActorRef<PoolsCommand> pools;
    private TestProbe<FreezeEvent> freezes;
    private ExecutorService clients;
    private int generation = 2;

    @BeforeEach
    void start(TestPostgres shared) throws Exception {
        postgres = shared;
        clients = Executors.newCachedThreadPool();
        gateway = new GatewayFixture(shared, "pool.linger = 5s", (actors, fake) -> {
            TestProbe<PoolsEvent> database = actors.createTestProbe();
            pools = actors.spawn(ConnectionPools.create(
                    database.ref(),
                    new PoolsSettings(Duration.ofSeconds(6), Duration.ZERO, 10, 20),
                    Clock.systemUTC()));
            return (databaseId, command) -> pools.tell(new PoolsCommand.FromGateway(command));
        });
        freezes = gateway.actors.createTestProbe();
        writerReady();
    }

    @AfterEach
    void stop() throws Exception {
        clients.shutdownNow();
        gateway.stop();
    }

    private void writerReady() {
        pools.tell(new PoolsCommand.WriterReady(
                generation, new WriterLocation("127.0.0.1", postgres.port(), Optional.empty())));
    }

    private void freeze(Duration limit) {
        pools.tell(new PoolsCommand.Freeze(limit, freezes.ref()));
    }

    private void drained() {
        assertEquals(new FreezeEvent.Drained(generation), freezes.receiveMessage(Duration.ofSeconds(10)));
    }

    @Test
    void givenRunningTransaction_whenFrozen_thenItFinishesAndOthersWaitUntilResumed() throws Exception {
        try (Connection running = gateway.connect();
                Connection other = gateway.connect()) {
            running.setAutoCommit(false);
            query(running, "SELECT 1");
            freeze(LONG);
            Future<String> waiting = clients.submit(() -> query(other, "SELECT 2"));
            Future<Connection> login = clients.submit(() -> gateway.connect());
            freezes.expectNoMessage(Duration.ofMillis(200));
            assertEquals("3", query(running, "SELECT 3"));
            running.commit();
            drained();
            assertFalse(waiting.isDone());
            assertFalse(login.isDone());
            pools.tell(PoolsCommand.Resume.INSTANCE);
            assertEquals("2", waiting.get(5, TimeUnit.SECONDS));
            login.get(5, TimeUnit.SECONDS).close();
        }
    }

    @Test
    void givenFreezeThatIsNotDrained_whenResumed_thenEverythingGoesOnAndTheNextFreezeWorks() throws Exception {
        try (Connection running = gateway.connect();
                Connection other = gateway.connect()) {
            running.setAutoCommit(false);
            query(running, "SELECT 1");
            for (int i = 0; i < 5; i++) {
                freeze(LONG);
                pools.tell(PoolsCommand.Resume.INSTANCE);
                assertInstanceOf(FreezeEvent.Thawed.class, freezes.receiveMessage(Duration.ofSeconds(5)));
                assertEquals("2", query(other, "SELECT 2"));
            }
            running.commit();
            freeze(LONG);
            drained();
            pools.tell(PoolsCommand.Resume.INSTANCE);
        }
    }

    @Test
    void givenListenerWhoseQueryIsHeldBack_whenCancelled_then57014AndItGoesOnListening() throws Exception {
        try (Connection listener = gateway.connect();
                Statement statement = listener.createStatement()) {
            execute(listener, "LISTEN something");
            freeze(LONG);
            drained();
            Future<SQLException> held =
                    clients.submit(() -> assertThrows(SQLException.class, () -> statement.execute("SELECT 1 / 0")));
            // Whether it has come there is not told: a request that finds nothing to cancel is repeated.
            Awaitility.await("the end of the query")
                    .atMost(Duration.ofSeconds(10))
                    .until(() -> {
                        statement.cancel();
                        return held.isDone();
                    });
            assertEquals("57014", held.get().getSQLState());
            pools.tell(PoolsCommand.Resume.INSTANCE);
            assertEquals("t", query(listener, "SELECT count(*) = 1 FROM pg_listening_channels()"));
        }
    }

    @Test
    void givenPinnedSession_whenFrozen_thenItIsInTheWayUntilItIsNot() throws Exception {
        try (Connection pinned = gateway.connect();
                Connection listener = gateway.connect()) {
            execute(pinned, "CREATE TEMP TABLE here (i int)");
            execute(listener, "LISTEN something");
            freeze(LONG);
            freezes.expectNoMessage(Duration.ofMillis(300));
            execute(pinned, "DROP TABLE here");
            drained();
            pools.tell(PoolsCommand.Resume.INSTANCE);
        }
    }

    @Test
    void givenTransactionThatLasts_whenTheLimitPasses_thenEverythingGoesOn() throws Exception {
        try (Connection running = gateway.connect();
                Connection other = gateway.connect()) {
            running.setAutoCommit(false);
            query(running, "SELECT 1");
            freeze(Duration.ofMillis(500));
            assertEquals("2", query(other, "SELECT 2"));
            assertEquals(new FreezeEvent.Thawed(2, 1, 0), freezes.receiveMessage(Duration.ofSeconds(5)));
            running.commit();
        }
    }

    @Test
    void givenClientsAtWork_whenTheWriterMovesAgainAndAgain_thenNoneOfThemNotices() throws Exception {
        Properties prepared = gateway.properties();
        prepared.setProperty("prepareThreshold", "1");
        AtomicBoolean enough = new AtomicBoolean();
        List<Future<Integer>> work = new ArrayList<>();
        try (Connection setup = gateway.connect()) {
            execute(setup, "CREATE TABLE IF NOT EXISTS moving (client int PRIMARY KEY, n int)");
            execute(setup, "TRUNCATE moving");
        }
        for (int i = 0; i < 32; i++) {
            int client = i;
            work.add(clients.submit(() -> worker(prepared, client, enough)));
        }
        for (int move = 0; move < 5; move++) {
            freeze(LONG);
            drained();
            assertEquals("", transactions());
            generation++;
            writerReady();
            awaitProgress();
        }
        enough.set(true);
        for (Future<Integer> worker : work) {
            assertTrue(worker.get(20, TimeUnit.SECONDS) > 0);
        }
    }

    /** Counts in a table and in its head, with a setting of its own; any error is a failure. */
    private Integer worker(Properties properties, int client, AtomicBoolean enough) throws SQLException {
        try (Connection connection = gateway.connect(properties)) {
            execute(connection, "SET search_path = \"schema " + client + "\", public");
            execute(connection, "INSERT INTO public.moving VALUES (" + client + ", 0)");
            connection.setAutoCommit(false);
            int count = 0;
            try (PreparedStatement update =
                    connection.prepareStatement("UPDATE public.moving SET n = n + 1 WHERE client = ? RETURNING n")) {
                do { // once at least, however late it has come
                    update.setInt(1, client);
                    try (ResultSet rows = update.executeQuery()) {
                        assertTrue(rows.next());
                        count++;
                        assertEquals(count, rows.getInt(1));
                    }
                    assertEquals("\"schema " + client + "\", public", query(connection, "SHOW search_path"));
                    connection.commit();
                } while (!enough.get());
            }
            return count;
        }
    }

    private String transactions() throws SQLException {
        try (Connection admin = postgres.admin()) {
            return query(
                    admin,
                    "SELECT coalesce(string_agg(concat_ws(' ', state, wait_event, query), '; '), '')"
                            + " FROM pg_stat_activity WHERE usename = '" + TestPostgres.USER
                            + "' AND xact_start IS NOT NULL");
        }
    }

    private void awaitProgress() throws SQLException {
        try (Connection admin = postgres.adminOf(TestPostgres.DATABASE)) {
            int before = Integer.parseInt(query(admin, "SELECT coalesce(sum(n), 0) FROM moving"));
            Awaitility.await("work to go on")
                    .atMost(Duration.ofSeconds(10))
                    .until(() -> Integer.parseInt(query(admin, "SELECT coalesce(sum(n), 0) FROM moving")) > before);
        }
    }

    @Test
    void givenPgbenchWith32Clients_whenFrozenFor6Seconds_thenNoError() throws Exception {
        Process init = pgbench("-i", "-q", "-s", "1");
        init.getInputStream().readAllBytes();
        assertEquals(0, init.waitFor());
        Process bench = pgbench("-n", "-c", "32", "-j", "2", "-T", "9", "-M", "prepared", "-S");
        Awaitility.await("pgbench at work").atMost(Duration.ofSeconds(20)).until(() -> backends() >= 10);
        freeze(LONG);
        drained();
        // The freeze is what is measured: nothing else tells when it has lasted long enough.
        Awaitility.await("6 s of freeze")
                .pollDelay(Duration.ofSeconds(6))
                .atMost(Duration.ofSeconds(10))
                .untilAsserted(() -> assertEquals("", transactions()));
        pools.tell(PoolsCommand.Resume.INSTANCE);
        String output = new String(bench.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, bench.waitFor(), output);
        assertTrue(output.contains("number of failed transactions: 0 "), output);
    }

    private int backends() throws SQLException {
        try (Connection admin = postgres.admin()) {
            return Integer.parseInt(
                    query(admin, "SELECT count(*) FROM pg_stat_activity WHERE usename = '" + TestPostgres.USER + "'"));
        }
    }

    private Process pgbench(String... options) throws Exception {
        List<String> command = new ArrayList<>(List.of("pgbench"));
        command.addAll(List.of(options));
        command.add("host=localhost port=" + gateway.server.port() + " user=" + TestPostgres.USER
                + " dbname=app sslmode=require");
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("PGPASSWORD", GatewayFixture.PASSWORD);
        try {
            return builder.start();
        } catch (IOException e) {
            assumeTrue(false, "pgbench is not installed");
            throw e;
        }
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static String query(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(sql)) {
            assertTrue(rows.next());
            return rows.getString(1);
        }
    }
}
