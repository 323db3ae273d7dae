package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import io.netty.buffer.PooledByteBufAllocator;
import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.gateway.lease.LeaseEvent;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;

/** The whole Gateway over real TLS, with PgJDBC and a real PostgreSQL. */
@ExtendWith(SharedPostgres.class)
class GatewayServerTest {

    private static TestPostgres postgres;
    private static GatewayFixture gateway;
    private static ExecutorService clients;

    @BeforeAll
    static void start(TestPostgres shared) throws Exception {
        postgres = shared;
        gateway = new GatewayFixture(postgres, "");
        clients = Executors.newCachedThreadPool();
    }

    @AfterAll
    static void stop() throws Exception {
        clients.shutdownNow();
        gateway.stop();
    }

    @BeforeEach
    void awake() {
        gateway.databases.asleep();
        gateway.databases.awake();
    }

    // ---- logging in

    @Test
    void givenWriter_whenConnecting_thenQueriesRunAndLeaseIsGivenBack() throws Exception {
        try (Connection connection = gateway.connect()) {
            assertEquals("1", query(connection, "SELECT 1"));
            assertEquals(TestPostgres.USER, query(connection, "SELECT current_user"));
            assertEquals("t", query(connection, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"));
            await(
                    "a renewal with one connection",
                    () -> gateway.databases.told(LeaseCommand.Renew.class).stream()
                            .anyMatch(renew -> renew.connections() == 1));
        }
        await(
                "the release of the lease",
                () -> !gateway.databases.told(LeaseCommand.Release.class).isEmpty());
    }

    @Test
    void givenStartupParameters_whenConnecting_thenTheBackendHasThem() throws Exception {
        Properties properties = gateway.properties();
        properties.setProperty("ApplicationName", "an app");
        properties.setProperty("options", "-c statement_timeout=12345 -c spg99.pool_mode=session");
        try (Connection connection = gateway.connect(properties)) {
            assertEquals("12345ms", query(connection, "SHOW statement_timeout"));
            assertEquals("an app", query(connection, "SHOW application_name"));
            assertEquals("session", query(connection, "SHOW spg99.pool_mode"));
        }
    }

    @Test
    void givenChannelBindingAndDirectTls_whenConnecting_thenBothWork() throws Exception {
        Properties properties = gateway.properties();
        properties.setProperty("channelBinding", "require");
        properties.setProperty("sslNegotiation", "direct");
        try (Connection connection = gateway.connect(properties)) {
            assertEquals("1", query(connection, "SELECT 1"));
        }
    }

    @Test
    void givenSleepingDatabase_whenPasswordIsWrong_thenNothingWakes() {
        gateway.databases.asleep();
        Properties wrong = gateway.properties();
        wrong.setProperty("password", "wrong");
        SQLException known = assertThrows(SQLException.class, () -> gateway.connect(wrong));
        wrong.setProperty("user", "nobody_here");
        SQLException unknown = assertThrows(SQLException.class, () -> gateway.connect(wrong));

        assertEquals("28P01", known.getSQLState());
        assertEquals("28P01", unknown.getSQLState());
        assertEquals(
                "FATAL: password authentication failed for user \"" + TestPostgres.USER + "\"", known.getMessage());
        assertEquals("FATAL: password authentication failed for user \"nobody_here\"", unknown.getMessage());
        assertEquals(List.of(), gateway.databases.told(LeaseCommand.Acquire.class));
    }

    @Test
    void givenUnknownDatabase_whenConnecting_then3D000() {
        gateway.databases.asleep();
        assertState("3D000", () -> gateway.connect("other", gateway.properties()));
        assertEquals(List.of(), gateway.databases.told(LeaseCommand.Acquire.class));
    }

    @Test
    void givenPlainText_whenConnecting_thenTlsIsDemanded() {
        Properties plain = gateway.properties();
        plain.setProperty("sslmode", "disable");
        SQLException refused = assertState("28000", () -> gateway.connect(plain));
        assertMessage("sslmode=require", refused);
    }

    @Test
    void givenReplication_whenConnecting_thenItIsRefused() {
        Properties replication = gateway.properties();
        replication.setProperty("replication", "database");
        replication.setProperty("assumeMinServerVersion", "17");
        assertState("0A000", () -> gateway.connect(replication));
    }

    @Test
    void givenDirectoryDown_whenConnecting_then57P03() {
        gateway.directoryDown = true;
        try {
            assertState("57P03", () -> gateway.connect());
        } finally {
            gateway.directoryDown = false;
        }
    }

    // ---- waking

    @Test
    void givenSleepingDatabase_whenManyConnect_thenItIsWokenOnceAndAllGetIn() throws Exception {
        gateway.databases.asleep();
        await("earlier sessions to be gone", () -> metric("spg99_lease_active") == 0);
        double acquiredBefore = metric("spg99_lease_acquire_total");
        List<Future<String>> results = new ArrayList<>();
        // Nobody leaves before all are in: the lease would be given back.
        CountDownLatch in = new CountDownLatch(20);
        for (int i = 0; i < 20; i++) {
            results.add(clients.submit(() -> {
                try (Connection connection = gateway.connect()) {
                    String answer = query(connection, "SELECT 1");
                    in.countDown();
                    assertTrue(in.await(10, TimeUnit.SECONDS));
                    return answer;
                }
            }));
        }
        await(
                "an Acquire",
                () -> !gateway.databases.told(LeaseCommand.Acquire.class).isEmpty());
        gateway.databases.awake();

        for (Future<String> result : results) {
            assertEquals("1", result.get(10, TimeUnit.SECONDS));
        }
        assertEquals(1, metric("spg99_lease_acquire_total") - acquiredBefore);
    }

    @Test
    void givenSleepingDatabase_whenWaitingLong_thenNoticeThenConnection() throws Exception {
        gateway.databases.asleep();
        Future<Connection> connecting = clients.submit(() -> gateway.connect());
        // The first Acquire was lost, as it were: only a later one, sent after the notice, is answered.
        await(
                "Acquires after the notice",
                () -> gateway.databases.told(LeaseCommand.Acquire.class).size() >= 3);
        gateway.databases.awake();
        try (Connection connection = connecting.get(10, TimeUnit.SECONDS)) {
            assertEquals(
                    "database \"app\" is waking up", connection.getWarnings().getMessage());
            assertEquals("1", query(connection, "SELECT 1"));
        }
    }

    @Test
    void givenDatabaseThatDoesNotWake_whenWakeTimeoutPasses_then57P03AndTheWishIsWithdrawn() {
        gateway.databases.asleep();
        SQLException timeout = assertState("57P03", () -> gateway.connect());
        assertMessage("Retry", timeout);
        await(
                "the release of the wish",
                () -> gateway.databases.told(LeaseCommand.Release.class).stream()
                        .anyMatch(release -> release.generation() == LeaseCommand.Release.ANY_GENERATION));
    }

    @Test
    void givenWaitingClient_whenItGoesAway_thenTheWishIsWithdrawn() throws Exception {
        // The wish of an earlier test is not the one looked for.
        asleepAndCountConnects();
        Properties impatient = gateway.properties();
        impatient.setProperty("loginTimeout", "1");
        impatient.setProperty("socketTimeout", "1");
        assertThrows(SQLException.class, () -> gateway.connect(impatient));
        await(
                "the release of the wish",
                () -> !gateway.databases.told(LeaseCommand.Release.class).isEmpty());
    }

    @Test
    void givenRefusal_whenConnecting_thenItsErrorIsTheClients() {
        gateway.databases.refusing(new LeaseEvent.Refused("58000", "the database is in error", "Look at last_error."));
        SQLException refused = assertState("58000", () -> gateway.connect());
        assertMessage("the database is in error", refused);
    }

    @Test
    void givenWriterThatJustDied_whenConnecting_thenTheNextOneIsUsed() throws Exception {
        gateway.databases.asleep();
        gateway.databases.awakeAt(1);
        Future<Connection> connecting = clients.submit(() -> gateway.connect());
        await(
                "a second Acquire",
                () -> gateway.databases.told(LeaseCommand.Acquire.class).size() >= 2);
        gateway.databases.revoke(LeaseEvent.Reason.WRITER_LOST);
        gateway.databases.awake();
        try (Connection connection = connecting.get(10, TimeUnit.SECONDS)) {
            assertEquals("1", query(connection, "SELECT 1"));
        }
    }

    // ---- connecting ahead of the grant

    @Test
    void givenComing_whenGranted_thenTheConnectionMadeAheadIsUsed() throws Exception {
        double connects = asleepAndCountConnects();
        Future<Connection> connecting = clients.submit(() -> gateway.connect());
        awaitAcquire();
        gateway.databases.coming();
        awaitBackends(1);
        assertFalse(connecting.isDone());
        gateway.databases.awake();
        try (Connection connection = connecting.get(10, TimeUnit.SECONDS)) {
            assertEquals("1", query(connection, "SELECT 1"));
            assertEquals(TestPostgres.USER, query(connection, "SELECT current_user"));
            assertEquals(connects + 1, metric(CONNECTS));
        }
        awaitBackends(0);
    }

    @Test
    void givenComingAndGrantedAtOnce_whenConnecting_thenOneConnectionIsMade() throws Exception {
        double connects = asleepAndCountConnects();
        Future<Connection> connecting = clients.submit(() -> gateway.connect());
        awaitAcquire();
        gateway.databases.coming();
        gateway.databases.awake();
        try (Connection connection = connecting.get(10, TimeUnit.SECONDS)) {
            assertEquals("1", query(connection, "SELECT 1"));
            assertEquals(connects + 1, metric(CONNECTS));
        }
    }

    @Test
    void givenComing_whenNothingFollows_thenTheClientSeesNothingAndItsWordsGoNowhere() throws Exception {
        asleepAndCountConnects();
        try (RawClient client = new RawClient(gateway.server.port())) {
            client.logIn(TestPostgres.USER, TestPostgres.DATABASE, GatewayFixture.PASSWORD);
            client.query("CREATE TABLE too_early ()");
            awaitAcquire();
            gateway.databases.coming();
            awaitBackends(1);
            // The notice of a long wait is all there is: it comes after the backend has said that it is ready.
            assertMessage("N", "is waking up", client.message());
            awaitBackends(1);
            assertMessage("E", "did not become ready in time", client.message());
            assertTrue(client.closed());
        }
        awaitBackends(0);
        await("the backend to have gone", () -> tenantBackends().equals("0"));
        assertEquals("0", tables("too_early"));
    }

    @Test
    void givenClientThatSpeaksEarly_whenGrantedAfterComing_thenItsWordsAreHeardInOrder() throws Exception {
        asleepAndCountConnects();
        try (RawClient client = new RawClient(gateway.server.port())) {
            client.logIn(TestPostgres.USER, TestPostgres.DATABASE, GatewayFixture.PASSWORD);
            client.query("SELECT 40 + 2");
            awaitAcquire();
            gateway.databases.coming();
            awaitBackends(1);
            gateway.databases.awake();
            String message = client.message();
            while (!message.startsWith("Z")) {
                assertTrue(message.startsWith("S") || message.startsWith("N"), message);
                message = client.message();
            }
            assertMessage("T", "column", client.message());
            assertMessage("D", "42", client.message());
        }
    }

    @Test
    void givenComing_whenAnotherGenerationIsGrantedElsewhere_thenThatOneIsUsed() throws Exception {
        double connects = asleepAndCountConnects();
        try (ServerSocket silent = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
            Future<Connection> connecting = clients.submit(() -> gateway.connect());
            awaitAcquire();
            gateway.databases.comingAt(silent.getLocalPort());
            await("a connection ahead", () -> metric(CONNECTS) == connects + 1);
            gateway.databases.attemptFailed();
            gateway.databases.coming();
            awaitBackends(1);
            gateway.databases.attemptFailed();
            gateway.databases.awake();
            try (Connection connection = connecting.get(10, TimeUnit.SECONDS)) {
                assertEquals("1", query(connection, "SELECT 1"));
                assertEquals(connects + 3, metric(CONNECTS));
                await("one backend", () -> tenantBackends().equals("1"));
            }
        }
    }

    @Test
    void givenComing_whenTheConnectionAheadIsRefused_thenTheGrantConnectsAsEver() throws Exception {
        double connects = asleepAndCountConnects();
        Future<Connection> connecting = clients.submit(() -> gateway.connect());
        awaitAcquire();
        gateway.databases.comingAt(1);
        await("a connection ahead", () -> metric(CONNECTS) == connects + 1);
        gateway.databases.awake();
        try (Connection connection = connecting.get(10, TimeUnit.SECONDS)) {
            assertEquals("1", query(connection, "SELECT 1"));
            assertEquals(connects + 2, metric(CONNECTS));
        }
    }

    @Test
    void givenNoRoleYet_whenConnectedAhead_thenItsRefusalIsNotTheClients() throws Exception {
        double connects = asleepAndCountConnects();
        Future<Connection> connecting = clients.submit(() -> gateway.connect());
        awaitAcquire();
        postgres.admin("ALTER ROLE " + TestPostgres.USER + " NOLOGIN");
        try {
            gateway.databases.coming();
            await("a refused login", () -> Files.readString(postgres.log()).contains("is not permitted to log in"));
        } finally {
            postgres.admin("ALTER ROLE " + TestPostgres.USER + " LOGIN");
        }
        gateway.databases.awake();
        try (Connection connection = connecting.get(10, TimeUnit.SECONDS)) {
            assertEquals("1", query(connection, "SELECT 1"));
            assertEquals(connects + 2, metric(CONNECTS));
        }
    }

    @Test
    void givenConnectionAhead_whenItsBackendEnds_thenTheGrantConnectsAnew() throws Exception {
        double connects = asleepAndCountConnects();
        Future<Connection> connecting = clients.submit(() -> gateway.connect());
        awaitAcquire();
        gateway.databases.coming();
        awaitBackends(1);
        postgres.admin(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + TestPostgres.USER + "'");
        awaitBackends(0);
        gateway.databases.awake();
        try (Connection connection = connecting.get(10, TimeUnit.SECONDS)) {
            assertEquals("1", query(connection, "SELECT 1"));
            assertEquals(connects + 2, metric(CONNECTS));
        }
    }

    @Test
    void givenConnectionAhead_whenTheClientGoesAway_thenItIsClosed() throws Exception {
        asleepAndCountConnects();
        try (RawClient client = new RawClient(gateway.server.port())) {
            client.logIn(TestPostgres.USER, TestPostgres.DATABASE, GatewayFixture.PASSWORD);
            awaitAcquire();
            gateway.databases.coming();
            awaitBackends(1);
        }
        awaitBackends(0);
        await("the backend to have gone", () -> tenantBackends().equals("0"));
    }

    @Test
    void givenConnectionAhead_whenRefused_thenItIsClosedAndTheErrorIsTheClients() throws Exception {
        asleepAndCountConnects();
        Future<SQLException> failed = clients.submit(() -> assertThrows(SQLException.class, () -> gateway.connect()));
        awaitAcquire();
        gateway.databases.coming();
        awaitBackends(1);
        gateway.databases.refusing(new LeaseEvent.Refused("58000", "the database is in error", ""));
        assertEquals("58000", failed.get(10, TimeUnit.SECONDS).getSQLState());
        awaitBackends(0);
    }

    @Test
    void givenConnectionAhead_whenRevoked_thenItIsClosedAndTheNextGrantIsUsed() throws Exception {
        asleepAndCountConnects();
        Future<Connection> connecting = clients.submit(() -> gateway.connect());
        awaitAcquire();
        gateway.databases.coming();
        awaitBackends(1);
        gateway.databases.revoke(LeaseEvent.Reason.WRITER_LOST);
        awaitBackends(0);
        gateway.databases.awake();
        try (Connection connection = connecting.get(10, TimeUnit.SECONDS)) {
            assertEquals("1", query(connection, "SELECT 1"));
        }
    }

    @Test
    void givenConnectionAhead_whenTheWaitIsCancelled_then57014AndItIsClosed() throws Exception {
        asleepAndCountConnects();
        try (RawClient client = new RawClient(gateway.server.port())) {
            int[] key = client.logIn(TestPostgres.USER, TestPostgres.DATABASE, GatewayFixture.PASSWORD);
            awaitAcquire();
            gateway.databases.coming();
            awaitBackends(1);
            try (RawClient canceler = new RawClient(gateway.server.port())) {
                canceler.sslRequest().answer();
                canceler.startTls().packet(80877102, key[0], key[1]);
                assertTrue(canceler.closed());
            }
            String error = client.message();
            while (error.startsWith("N")) {
                error = client.message();
            }
            assertMessage("E", "57014", error);
        }
        awaitBackends(0);
    }

    private static final String CONNECTS = "spg99_pool_backend_connect_total";

    /** Nobody is connected, the database sleeps. */
    private static double asleepAndCountConnects() throws SQLException {
        gateway.databases.asleep();
        await("earlier sessions to be gone", () -> metric("spg99_lease_active") == 0);
        awaitBackends(0);
        // A query the Gateway has let go of may still run there.
        terminateBackends();
        await("earlier backends to be gone", () -> tenantBackends().equals("0"));
        gateway.databases.asleep();
        return metric(CONNECTS);
    }

    private static void terminateBackends() throws SQLException {
        postgres.admin(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + TestPostgres.USER + "'");
    }

    private static void awaitAcquire() {
        await(
                "an Acquire",
                () -> !gateway.databases.told(LeaseCommand.Acquire.class).isEmpty());
    }

    /** Logged-in backends, as the Gateway counts them. */
    private static void awaitBackends(int expected) {
        await(expected + " backends", () -> metric("spg99_pool_total_conns") == expected);
    }

    private static String tenantBackends() throws SQLException {
        try (Connection admin = postgres.admin()) {
            return query(admin, "SELECT count(*) FROM pg_stat_activity WHERE usename = '" + TestPostgres.USER + "'");
        }
    }

    private static String tables(String name) throws SQLException {
        try (Connection admin = postgres.adminOf(TestPostgres.DATABASE)) {
            return query(admin, "SELECT count(*) FROM pg_class WHERE relname = '" + name + "'");
        }
    }

    private static void assertMessage(String type, String part, String message) {
        assertTrue(message.startsWith(type) && message.contains(part), message);
    }

    // ---- other clients

    @Test
    void givenMetricsExporter_whenConnected_thenItDoesNotCount() throws Exception {
        Properties exporter = gateway.properties();
        exporter.setProperty("ApplicationName", "postgres_exporter");
        exporter.setProperty("assumeMinServerVersion", "17");
        try (Connection connection = gateway.connect(exporter)) {
            assertEquals("1", query(connection, "SELECT 1"));
            await(
                    "a renewal",
                    () -> !gateway.databases.told(LeaseCommand.Renew.class).isEmpty());
            assertTrue(gateway.databases.told(LeaseCommand.Renew.class).stream()
                    .allMatch(renew -> renew.connections() == 0));
        }
    }

    // ---- what passes through

    @Test
    void givenRunningQuery_whenCancelled_then57014AndTheSessionGoesOn() throws Exception {
        try (Connection connection = gateway.connect();
                Statement statement = connection.createStatement()) {
            Future<SQLException> sleeping = clients.submit(
                    () -> assertThrows(SQLException.class, () -> statement.execute("SELECT pg_sleep(15)")));
            awaitActivity("SELECT pg_sleep(15)");
            statement.cancel();
            assertEquals("57014", sleeping.get(10, TimeUnit.SECONDS).getSQLState());
            assertEquals("1", query(connection, "SELECT 1"));
        }
    }

    @Test
    void givenPreparedAndBatchedStatements_whenRun_thenAllAnswersCome() throws Exception {
        try (Connection connection = gateway.connect()) {
            execute(connection, "CREATE TEMP TABLE t (i int, s text)");
            connection.setAutoCommit(false);
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO t VALUES (?, ?)")) {
                for (int i = 0; i < 5_000; i++) {
                    insert.setInt(1, i);
                    insert.setString(2, "row " + i);
                    insert.addBatch();
                }
                assertEquals(5_000, Arrays.stream(insert.executeBatch()).sum());
            }
            connection.commit();
            try (PreparedStatement select = connection.prepareStatement("SELECT s FROM t WHERE i = ?")) {
                for (int i = 0; i < 20; i++) {
                    select.setInt(1, i);
                    ResultSet rows = select.executeQuery();
                    assertTrue(rows.next());
                    assertEquals("row " + i, rows.getString(1));
                }
            }
            SQLException error = assertThrows(SQLException.class, () -> query(connection, "SELECT 1/0"));
            assertEquals("22012", error.getSQLState());
            connection.rollback();
            assertEquals("5000", query(connection, "SELECT count(*) FROM t"));
        }
    }

    @Test
    void givenListeners_whenNotified_thenTheyHear() throws Exception {
        try (Connection listener = gateway.connect();
                Connection speaker = gateway.connect()) {
            execute(listener, "LISTEN news");
            execute(speaker, "NOTIFY news, 'hello'");
            PGNotification[] heard = listener.unwrap(PGConnection.class).getNotifications(10_000);
            assertEquals("hello", heard[0].getParameter());
        }
    }

    @Test
    void givenCopyOf100MegabytesEachWay_whenRunning_thenMemoryStaysFlat() throws Exception {
        int rows = 100_000;
        long bytes = rows * 1000L;
        try (Connection connection = gateway.connect()) {
            execute(connection, "CREATE TEMP TABLE big (s text)");
            CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
            DirectMemory memory = new DirectMemory();
            assertEquals(rows, copy.copyIn("COPY big FROM STDIN", new Lines(bytes, memory::look)));
            AtomicLong received = new AtomicLong();
            copy.copyOut("COPY big TO STDOUT", new OutputStream() {
                @Override
                public void write(int b) {
                    received.incrementAndGet();
                }

                @Override
                public void write(byte[] part, int offset, int length) {
                    received.addAndGet(length);
                    memory.look();
                }
            });
            assertEquals(bytes, received.get());
            memory.assertGrownByLessThan(32L << 20);
        }
    }

    @Test
    void givenBackendThatStopsReading_whenCopyingIn_thenTheClientWaitsAndTheGatewayDoesNotCollect() throws Exception {
        int rows = 100_000;
        long bytes = rows * 1000L;
        try (Connection connection = gateway.connect()) {
            connection.setAutoCommit(false);
            execute(connection, "CREATE TEMP TABLE slow (s text)");
            String backend = query(connection, "SELECT pg_backend_pid()");
            CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
            DirectMemory memory = new DirectMemory();
            // It has said that it is ready for the lines, and then reads none of them.
            AtomicBoolean stopped = new AtomicBoolean();
            Lines lines = new Lines(bytes, () -> {
                memory.look();
                if (stopped.compareAndSet(false, true)) {
                    signal("STOP", backend);
                }
            });
            Future<Long> copied = clients.submit(() -> copy.copyIn("COPY slow FROM STDIN", lines));
            try {
                AtomicLong before = new AtomicLong(-1);
                Awaitility.await("the client to be held back")
                        .pollInterval(Duration.ofMillis(500))
                        .until(() -> lines.left() < bytes && before.getAndSet(lines.left()) == lines.left());
                assertTrue(lines.left() > bytes / 2, "taken: " + (bytes - lines.left()));
                memory.assertGrownByLessThan(16L << 20);
            } finally {
                signal("CONT", backend);
            }
            assertEquals(rows, copied.get(20, TimeUnit.SECONDS));
        }
    }

    @Test
    void givenSlowReaderOfALargeResult_whenReading_thenTheGatewayDoesNotCollectIt() throws Exception {
        try (Connection connection = gateway.connect()) {
            connection.setAutoCommit(false);
            DirectMemory memory = new DirectMemory();
            // PgJDBC reads from the socket only as it is asked for rows of the COPY.
            var out = connection
                    .unwrap(PGConnection.class)
                    .getCopyAPI()
                    .copyOut("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT");
            assertEquals(1001, Objects.requireNonNull(out.readFromCopy()).length);
            awaitActivity("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT", "ClientWrite");
            memory.look();
            memory.assertGrownByLessThan(32L << 20);
            int rows = 1;
            while (out.readFromCopy() != null) {
                rows++;
            }
            assertEquals(100_000, rows);
        }
    }

    @Test
    void givenPsql_thenItWorks() throws Exception {
        Process psql = assumeStarts(
                "psql",
                "-X",
                "-At",
                "host=localhost port=" + gateway.server.port() + " user=" + TestPostgres.USER
                        + " dbname=app sslmode=verify-full channel_binding=require sslrootcert="
                        + postgres.certificates().certificate("ca"),
                "-c",
                "SELECT 40 + 2");
        assertEquals("42\n", new String(psql.getInputStream().readAllBytes(), StandardCharsets.UTF_8));
        assertEquals(0, psql.waitFor());
    }

    /** Skips the test if the program is not installed. */
    private static Process assumeStarts(String... command) {
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("PGPASSWORD", GatewayFixture.PASSWORD);
        try {
            return builder.start();
        } catch (IOException e) {
            return abort(command[0] + " is not installed (Debian: apt-get install postgresql-client)");
        }
    }

    // ---- losing the writer

    @Test
    void givenIdleSession_whenTheWriterIsLost_thenItGoesOnWithTheNext() throws Exception {
        try (Connection connection = gateway.connect()) {
            query(connection, "SELECT 1");
            gateway.databases.revoke(LeaseEvent.Reason.WRITER_LOST);
            await("the server connection to be closed", () -> metric("spg99_pool_total_conns") == 0);
            gateway.databases.awake();
            assertEquals("2", query(connection, "SELECT 2"));
        }
    }

    @Test
    void givenIdleSession_whenTheDatabaseIsDeleted_then57P01() throws Exception {
        try (Connection connection = gateway.connect()) {
            query(connection, "SELECT 1");
            gateway.databases.revoke(LeaseEvent.Reason.DELETED);
            await("the server connection to be closed", () -> metric("spg99_pool_total_conns") == 0);
            assertState("57P01", () -> query(connection, "SELECT 2"));
        }
    }

    @Test
    void givenTransaction_whenWriterIsLost_then57P01() throws Exception {
        try (Connection connection = gateway.connect()) {
            connection.setAutoCommit(false);
            query(connection, "SELECT 1");
            Future<SQLException> failed = clients.submit(
                    () -> assertThrows(SQLException.class, () -> query(connection, "SELECT pg_sleep(14)")));
            awaitActivity("SELECT pg_sleep(14)");
            gateway.databases.revoke(LeaseEvent.Reason.WRITER_LOST);
            assertEquals("57P01", failed.get(10, TimeUnit.SECONDS).getSQLState());
        }
    }

    @Test
    void givenTransaction_whenBackendIsTerminated_thenItsOwnErrorPasses() throws Exception {
        try (Connection connection = gateway.connect()) {
            connection.setAutoCommit(false);
            query(connection, "SELECT 1");
            Future<SQLException> failed = clients.submit(
                    () -> assertThrows(SQLException.class, () -> query(connection, "SELECT pg_sleep(13)")));
            awaitActivity("SELECT pg_sleep(13)");
            postgres.admin(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(13)'");
            SQLException error = failed.get(10, TimeUnit.SECONDS);
            assertEquals("57P01", error.getSQLState());
            assertMessage("administrator command", error);
        }
    }

    @Test
    void givenCommitThatWaitsForTheQuorum_whenWriterIsLost_then08007() throws Exception {
        assertEquals(
                "08007",
                loseCommit(() -> gateway.databases.revoke(LeaseEvent.Reason.WRITER_LOST))
                        .getSQLState());
    }

    @Test
    void givenCommitThatWaitsForTheQuorum_whenBackendIsTerminated_then08007() throws Exception {
        SQLException error = loseCommit(() ->
                postgres.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"));
        assertEquals("08007", error.getSQLState());
    }

    @Test
    void givenCommitThatWaitsForTheQuorum_whenCancelled_then08007AndNoQuietSuccess() throws Exception {
        SQLException error = loseCommit(() ->
                postgres.admin("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"));
        assertEquals("08007", error.getSQLState());
        assertMessage("check before retrying", error);
    }

    private interface Fault {
        void happen() throws Exception;
    }

    private SQLException loseCommit(Fault fault) throws Exception {
        try (Connection connection = gateway.connect()) {
            execute(connection, "CREATE TABLE IF NOT EXISTS ledger (i int)");
            connection.setAutoCommit(false);
            execute(connection, "INSERT INTO ledger VALUES (1)");
            execute(connection, "SET LOCAL synchronous_commit = on");
            Future<SQLException> failed = clients.submit(() -> assertThrows(SQLException.class, connection::commit));
            awaitWait("SyncRep");
            fault.happen();
            return failed.get(10, TimeUnit.SECONDS);
        } finally {
            postgres.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        }
    }

    @Test
    void givenRunningQuery_whenItsClientGoesAway_thenItIsCancelled() throws Exception {
        Connection connection = gateway.connect();
        clients.submit(() -> query(connection, "SELECT pg_sleep(60)"));
        awaitActivity("SELECT pg_sleep(60)");
        connection
                .unwrap(org.postgresql.core.BaseConnection.class)
                .getQueryExecutor()
                .abort();
        await("the query to be gone", () -> activity("SELECT pg_sleep(60)", "").equals("0"));
    }

    @Test
    void givenConnections_whenScraped_thenTheMetricsHaveTheirNames() throws Exception {
        try (Connection connection = gateway.connect()) {
            query(connection, "SELECT 1");
            assertEquals(1, metric("spg99_lease_active"));
            assertTrue(metric("spg99_pool_total_conns") >= 1);
            for (String name : List.of(
                    "gw_backend_tls_ok_total",
                    "spg99_lease_acquire_total",
                    "spg99_pool_backend_connect_total",
                    "spg99_pool_checkout_wait_seconds_count")) {
                assertTrue(metric(name) >= 1, name);
            }
            await("the server connection to be free", () -> metric("spg99_pool_idle_conns") >= 1);
            for (String name : List.of(
                    "gw_backend_tls_handshake_errors_total",
                    "spg99_pool_checkout_timeouts_total",
                    "spg99_pool_resets_total")) {
                assertTrue(gateway.metrics.scrape().contains("\n" + name + " "), name);
            }
        }
    }

    // ---- helpers

    /** So many bytes of lines of 1,000. */
    private static final class Lines extends InputStream {
        private static final byte[] LINE = ("x".repeat(999) + "\n").getBytes(StandardCharsets.US_ASCII);
        private final Runnable onRead;
        private volatile long left;

        /** @param onRead called as each part of them is taken */
        Lines(long bytes, Runnable onRead) {
            left = bytes;
            this.onRead = onRead;
        }

        long left() {
            return left;
        }

        @Override
        public int read() {
            throw new UnsupportedOperationException("read in bulk");
        }

        @Override
        public int read(byte[] target, int offset, int length) {
            onRead.run();
            long now = left;
            if (now == 0) {
                return -1;
            }
            int bytes = (int) Math.min(now, length);
            for (int i = 0; i < bytes; i++) {
                target[offset + i] =
                        LINE[(int) ((now - i) % LINE.length == 0 ? 0 : LINE.length - (now - i) % LINE.length)];
            }
            left = now - bytes;
            return bytes;
        }
    }

    /** Netty's, of all its buffers: how much more there ever was than at the beginning, as often as somebody looks. */
    private static final class DirectMemory {
        private final long before = used();
        private final AtomicLong most = new AtomicLong(before);

        private static long used() {
            return PooledByteBufAllocator.DEFAULT.metric().usedDirectMemory();
        }

        void look() {
            most.accumulateAndGet(used(), Math::max);
        }

        void assertGrownByLessThan(long limit) {
            long grown = most.get() - before;
            assertTrue(grown < limit, "direct memory grew by " + grown);
        }
    }

    private static void signal(String signal, String pid) {
        try {
            assertEquals(
                    0, new ProcessBuilder("kill", "-" + signal, pid).start().waitFor());
        } catch (IOException | InterruptedException e) {
            throw new AssertionError("cannot send " + signal + " to " + pid, e);
        }
    }

    private static SQLException assertState(String sqlState, Callable<?> action) {
        SQLException error = assertThrows(SQLException.class, action::call);
        assertEquals(sqlState, error.getSQLState(), error.getMessage());
        return error;
    }

    private static void assertMessage(String part, SQLException error) {
        assertTrue(String.valueOf(error.getMessage()).contains(part), error.getMessage());
    }

    private static double metric(String name) {
        return gateway.metrics
                .scrape()
                .lines()
                .filter(line -> line.startsWith(name + " "))
                .mapToDouble(line -> Double.parseDouble(line.substring(name.length() + 1)))
                .sum();
    }

    private static void awaitActivity(String sql) {
        await(sql, () -> !activity(sql, "").equals("0"));
    }

    private static void awaitActivity(String sql, String waitEvent) {
        await(sql, () -> !activity(sql, " AND wait_event = '" + waitEvent + "'").equals("0"));
    }

    private static void awaitWait(String waitEvent) {
        await(waitEvent, () -> {
            try (Connection admin = postgres.admin()) {
                return !query(admin, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = '" + waitEvent + "'")
                        .equals("0");
            }
        });
    }

    private static String activity(String sql, String condition) throws SQLException {
        try (Connection admin = postgres.admin()) {
            return query(
                    admin,
                    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = '"
                            + sql.replace("'", "''") + "'" + condition);
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

    private static void await(String what, Callable<Boolean> condition) {
        Awaitility.await(what)
                .atMost(Duration.ofSeconds(10))
                .pollInterval(Duration.ofMillis(10))
                .until(condition);
    }
}
