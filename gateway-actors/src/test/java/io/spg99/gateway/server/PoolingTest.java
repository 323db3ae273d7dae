package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.login.PoolMode;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
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
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.postgresql.PGConnection;

/** Clients that share server connections: what each of them sees, and who has to wait. */
@ExtendWith(SharedPostgres.class)
class PoolingTest {

    private static TestPostgres postgres;
    private static GatewayFixture gateway;
    private static ExecutorService clients;

    private final List<Connection> open = new ArrayList<>();

    @BeforeAll
    static void start(TestPostgres shared) throws Exception {
        postgres = shared;
        gateway = new GatewayFixture(postgres, "pool.linger = 0s");
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
        limit(1);
    }

    @AfterEach
    void close() throws SQLException {
        for (Connection connection : open) {
            connection.close();
        }
        await("earlier sessions to be gone", () -> metric("spg99_lease_active") == 0);
    }

    private static void limit(int serverConnections) {
        gateway.databases.serverConnections(serverConnections);
        gateway.databases.awake();
    }

    @Test
    void givenADatabaseInSessionMode_whenAClientDoesNotAskOtherwise_thenItKeepsItsServerConnection() throws Exception {
        limit(3);
        gateway.poolMode = PoolMode.SESSION;
        try {
            Connection keeps = connect();
            Connection shares = connectWith("options", "-c spg99.pool_mode=transaction");
            String backend = query(keeps, "SELECT pg_backend_pid()");
            assertNotEquals(backend, query(shares, "SELECT pg_backend_pid()"));
            assertEquals(backend, query(keeps, "SELECT pg_backend_pid()"));
            gateway.poolMode = PoolMode.TRANSACTION;
            assertEquals(query(shares, "SELECT pg_backend_pid()"), query(connect(), "SELECT pg_backend_pid()"));
        } finally {
            gateway.poolMode = PoolMode.TRANSACTION;
        }
    }

    @Test
    void givenAClientThatIsIdleInATransaction_whenTheLimitPasses_then25P03AndTheNextHasTheServerConnection()
            throws Exception {
        GatewayFixture strict = new GatewayFixture(
                postgres, "pool.linger = 0s, idle-transaction-timeout = 300ms, wake-notice-after = 100ms");
        strict.databases.serverConnections(1);
        strict.databases.awake();
        try (Connection idle = strict.connect();
                Connection next = strict.connect()) {
            execute(idle, "CREATE TABLE forgotten (n int)");
            idle.setAutoCommit(false);
            // It works for longer than it may be idle.
            execute(idle, "INSERT INTO forgotten SELECT 1 FROM pg_sleep(0.6)");
            assertEquals("0", query(next, "SELECT count(*) FROM forgotten"));
            SQLException e = assertThrows(SQLException.class, () -> execute(idle, "SELECT 1"));
            assertEquals("25P03", e.getSQLState());
            execute(next, "DROP TABLE forgotten");
        } finally {
            strict.stop();
        }
    }

    private Connection connect() throws SQLException {
        return connect(gateway.properties());
    }

    private Connection connect(Properties properties) throws SQLException {
        Connection connection = gateway.connect(properties);
        open.add(connection);
        return connection;
    }

    private Connection connectWith(String name, String value) throws SQLException {
        Properties properties = gateway.properties();
        properties.setProperty(name, value);
        return connect(properties);
    }

    // ---- sharing

    @Test
    void givenManyClients_whenFewServerConnections_thenAllAreServed() throws Exception {
        limit(2);
        List<Connection> many = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            many.add(connect());
        }
        List<Future<Integer>> sums = new ArrayList<>();
        for (Connection connection : many) {
            sums.add(clients.submit(() -> {
                connection.setAutoCommit(false);
                int sum = 0;
                for (int i = 0; i < 20; i++) {
                    sum += Integer.parseInt(query(connection, "SELECT " + i));
                    connection.commit();
                }
                return sum;
            }));
        }
        for (Future<Integer> sum : sums) {
            assertEquals(190, sum.get(20, TimeUnit.SECONDS));
        }
        assertTrue(metric("spg99_pool_total_conns") <= 2);
    }

    @Test
    void givenTransaction_whenAnotherClientComes_thenItWaitsForItsEnd() throws Exception {
        Connection one = connect();
        Connection two = connect();
        one.setAutoCommit(false);
        query(one, "SELECT 1");
        Future<String> waiting = clients.submit(() -> query(two, "SELECT 2"));
        assertStillWaits(waiting);
        one.commit();
        assertEquals("2", waiting.get(10, TimeUnit.SECONDS));
    }

    @Test
    void givenTransactionThatLasts_whenAnotherClientWaitsTooLong_then53300() throws Exception {
        Connection one = connect();
        Connection two = connect();
        one.setAutoCommit(false);
        query(one, "SELECT 1");
        SQLException error = assertThrows(SQLException.class, () -> query(two, "SELECT 2"));
        assertEquals("53300", error.getSQLState());
        one.commit();
        assertEquals("1", query(one, "SELECT 1"));
    }

    @Test
    void givenSessionMode_thenTheConnectionIsKept() throws Exception {
        limit(2);
        Connection session = connectWith("options", "-c spg99.pool_mode=session");
        String pid = query(session, "SELECT pg_backend_pid()");
        Connection other = connect();
        assertFalse(pid.equals(query(other, "SELECT pg_backend_pid()")));
        execute(session, "SET search_path = elsewhere");
        execute(session, "CREATE TEMP TABLE t (i int)");
        assertEquals(pid, query(session, "SELECT pg_backend_pid()"));
        assertEquals("elsewhere", query(session, "SHOW search_path"));
    }

    // ---- settings

    @Test
    void givenSettings_whenClientsTakeTurns_thenEachHasItsOwn() throws Exception {
        Connection one = connectWith("options", "-c statement_timeout=1111 -c search_path=a,b");
        Connection two = connectWith("ApplicationName", "the other");
        execute(one, "SET TimeZone = 'Asia/Tokyo'");
        execute(two, "SELECT set_config('my.name', 'it''s \\ \u00e4', false)");
        one.setAutoCommit(false);
        execute(one, "SET work_mem = '7MB'");
        execute(one, "SET LOCAL lock_timeout = 77");
        one.commit();
        execute(one, "SET work_mem = '9MB'");
        one.rollback();
        one.setAutoCommit(true);
        for (int i = 0; i < 3; i++) {
            assertEquals("1111ms", query(one, "SHOW statement_timeout"));
            assertEquals("a,b", query(one, "SHOW search_path"));
            assertEquals("Asia/Tokyo", query(one, "SHOW timezone"));
            assertEquals("7MB", query(one, "SHOW work_mem"));
            assertEquals("0", query(one, "SHOW lock_timeout"));
            assertEquals("", query(one, "SELECT coalesce(current_setting('my.name', true), '')"));
            assertEquals("PostgreSQL JDBC Driver", query(one, "SHOW application_name"));
            assertEquals("0", query(two, "SHOW statement_timeout"));
            assertEquals("\"$user\", public", query(two, "SHOW search_path"));
            assertEquals("4MB", query(two, "SHOW work_mem"));
            assertEquals("it's \\ \u00e4", query(two, "SHOW my.name"));
            assertEquals("the other", query(two, "SHOW application_name"));
        }
    }

    @ParameterizedTest
    @CsvSource({"RESET statement_timeout", "RESET ALL", "SET statement_timeout TO DEFAULT", "DISCARD ALL"})
    void givenSettingOfTheStartupPacket_whenReset_thenItIsThatOfTheStartupPacket(String sql) throws Exception {
        Connection one = connectWith("options", "-c statement_timeout=1111");
        execute(one, "SET statement_timeout = 2222");
        assertEquals("2222ms", query(one, "SHOW statement_timeout"));
        execute(one, sql);
        assertEquals("1111ms", query(one, "SHOW statement_timeout"));
    }

    @Test
    void givenSettingInsideAFunction_thenItIsNoticedAllTheSame() throws Exception {
        Connection one = connect();
        Connection two = connect();
        execute(one, """
                CREATE OR REPLACE FUNCTION quietly() RETURNS int LANGUAGE plpgsql AS
                $$ BEGIN PERFORM set_config('search_path', 'hidden', false); RETURN 1; END $$""");
        try {
            assertEquals("1", query(one, "SELECT public.quietly()"));
            assertEquals("\"$user\", public", query(two, "SHOW search_path"));
            assertEquals("hidden", query(one, "SHOW search_path"));
        } finally {
            execute(two, "DROP FUNCTION public.quietly()");
        }
    }

    @Test
    void givenBadSettingInTheStartupPacket_whenConnecting_thenPostgresSaysSo() {
        SQLException error =
                assertThrows(SQLException.class, () -> connectWith("options", "-c statement_timeout=soon"));
        assertEquals("22023", error.getSQLState());
    }

    @Test
    void givenRole_whenClientsTakeTurns_thenEachHasItsOwn() throws Exception {
        postgres.admin("DROP ROLE IF EXISTS other_role");
        postgres.admin("CREATE ROLE other_role");
        postgres.admin("GRANT other_role TO " + TestPostgres.USER);
        Connection one = connect();
        Connection two = connect();
        execute(one, "SET ROLE other_role");
        for (int i = 0; i < 2; i++) {
            assertEquals("other_role", query(one, "SELECT current_user"));
            assertEquals(TestPostgres.USER, query(two, "SELECT current_user"));
        }
        execute(one, "RESET ROLE");
        assertEquals(TestPostgres.USER, query(one, "SELECT current_user"));
    }

    // ---- prepared statements

    @Test
    void givenPreparedStatements_whenClientsShareServerConnections_thenEachHasItsOwn() throws Exception {
        limit(2);
        List<Future<Boolean>> results = new ArrayList<>();
        for (int client = 0; client < 6; client++) {
            int number = client;
            // All drivers count their statements from one: the names are the same, the texts differ.
            Connection connection = connectWith("prepareThreshold", "1");
            results.add(clients.submit(() -> {
                try (PreparedStatement plus = connection.prepareStatement("SELECT ? + " + number);
                        PreparedStatement same = connection.prepareStatement("SELECT ?::text")) {
                    for (int i = 0; i < 50; i++) {
                        plus.setInt(1, i);
                        same.setString(1, "x" + i);
                        if (Integer.parseInt(only(plus)) != i + number
                                || !only(same).equals("x" + i)) {
                            return false;
                        }
                    }
                    return true;
                }
            }));
        }
        for (Future<Boolean> result : results) {
            assertTrue(result.get(20, TimeUnit.SECONDS));
        }
    }

    @Test
    void givenMoreStatementsThanAServerConnectionHolds_thenTheyArePreparedAgain() throws Exception {
        Connection connection = connectWith("prepareThreshold", "1");
        List<PreparedStatement> statements = new ArrayList<>();
        for (int i = 0; i < 700; i++) {
            statements.add(connection.prepareStatement("SELECT " + i + " + ?"));
        }
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < statements.size(); i++) {
                statements.get(i).setInt(1, round);
                assertEquals(String.valueOf(i + round), only(statements.get(i)));
            }
        }
    }

    @Test
    void givenStatementThatIsDescribedAlone_whenItIsUsedLater_thenItIsThere() throws Exception {
        Connection one = connectWith("prepareThreshold", "1");
        Connection two = connectWith("prepareThreshold", "1");
        try (PreparedStatement statement = one.prepareStatement("SELECT 1 AS a, 'x'::text AS b WHERE ? > 0")) {
            assertEquals("b", statement.getMetaData().getColumnName(2));
            execute(two, "DISCARD ALL");
            statement.setInt(1, 1);
            assertEquals("1", only(statement));
        }
    }

    @Test
    void givenDiscardAll_thenOnlyTheStatementsOfThatClientAreGone() throws Exception {
        Connection one = connectWith("prepareThreshold", "1");
        Connection two = connectWith("prepareThreshold", "1");
        try (PreparedStatement ofOne = one.prepareStatement("SELECT ? + 1");
                PreparedStatement ofTwo = two.prepareStatement("SELECT ? + 1")) {
            ofOne.setInt(1, 1);
            ofTwo.setInt(1, 2);
            assertEquals("2", only(ofOne));
            assertEquals("3", only(ofTwo));
            execute(one, "DEALLOCATE ALL");
            assertEquals("3", only(ofTwo));
            assertEquals("2", only(ofOne));
        }
    }

    @Test
    void givenTableThatChanges_whenTheStatementIsUsedOnAnotherServerConnection_thenItIsAsWithPostgres()
            throws Exception {
        limit(2);
        Connection one = connectWith("prepareThreshold", "1");
        Connection two = connect();
        execute(two, "CREATE TABLE changing (a int)");
        execute(two, "INSERT INTO changing VALUES (1)");
        try (PreparedStatement all = one.prepareStatement("SELECT * FROM changing")) {
            assertEquals("1", only(all));
            assertEquals("1", only(all));
            execute(two, "ALTER TABLE changing ADD COLUMN b text DEFAULT 'new'");
            // All server connections but one are in use: it is now prepared on another one.
            two.setAutoCommit(false);
            query(two, "SELECT 1");
            // PgJDBC prepares again when it is told that the plan must not change.
            try (ResultSet rows = all.executeQuery()) {
                assertTrue(rows.next());
                assertEquals(2, rows.getMetaData().getColumnCount());
                assertEquals("new", rows.getString(2));
            }
        } finally {
            two.rollback();
            execute(two, "DROP TABLE changing");
        }
    }

    @Test
    void givenPrepareOfSql_whenClientsTakeTurns_thenEachHasItsOwn() throws Exception {
        Connection one = connect();
        Connection two = connect();
        execute(one, "PREPARE same (int) AS SELECT $1 + 1");
        execute(two, "PREPARE same (int) AS SELECT $1 + 2");
        for (int i = 0; i < 3; i++) {
            assertEquals("11", query(one, "EXECUTE same (10)"));
            assertEquals("12", query(two, "EXECUTE same (10)"));
        }
        execute(one, "DEALLOCATE same");
        SQLException error = assertThrows(SQLException.class, () -> query(one, "EXECUTE same (10)"));
        assertEquals("26000", error.getSQLState());
        assertEquals("12", query(two, "EXECUTE same (10)"));
    }

    // ---- what pins, and what ends that

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "LISTEN a|UNLISTEN a|listen",
                "LISTEN b|DISCARD ALL|listen",
                "CREATE TEMP TABLE pinning (i int)|DROP TABLE pinning|temporary_object",
                "CREATE TEMP TABLE pinning (i int)|DISCARD TEMP|temporary_object",
                "SELECT 1 AS i INTO TEMP pinning|DROP TABLE pinning|temporary_object",
                "SELECT pg_advisory_lock(7)|SELECT pg_advisory_unlock(7)|advisory_lock",
                "DO $$BEGIN PERFORM pg_advisory_lock(8); END$$|SELECT pg_advisory_unlock_all()|advisory_lock",
                "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT|CLOSE c|hold_cursor"
            })
    void givenSessionThatHoldsSomething_thenItKeepsItsServerConnectionUntilItDoesNot(
            String holds, String ends, String reason) throws Exception {
        String pinned = "spg99_session_pinned_total{reason=\"" + reason + "\"}";
        double before = metric(pinned);
        Connection one = connect();
        Connection two = connect();
        execute(one, holds);
        await("the pin", () -> metric(pinned) == before + 1);
        Future<String> waiting = clients.submit(() -> query(two, "SELECT 2"));
        assertStillWaits(waiting);
        assertEquals("1", query(one, "SELECT 1"));
        assertStillWaits(waiting);
        execute(one, ends);
        assertEquals("2", waiting.get(10, TimeUnit.SECONDS));
    }

    @Test
    void givenPinnedSession_whenItsClientLeaves_thenTheNextFindsNothingOfIt() throws Exception {
        Connection one = connect();
        Connection two = connect();
        execute(one, "CREATE TEMP TABLE left_behind (i int)");
        execute(one, "LISTEN news");
        execute(one, "SELECT pg_advisory_lock(9)");
        one.close();
        assertEquals("f", query(two, "SELECT to_regclass('left_behind') IS NOT NULL"));
        assertEquals("0", query(two, "SELECT count(*) FROM pg_listening_channels()"));
        assertEquals("0", query(two, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"));
    }

    @Test
    void givenSequence_whenItsLastValueIsAskedFor_thenNeverThatOfAnotherClient() throws Exception {
        Connection one = connect();
        Connection two = connect();
        execute(one, "CREATE SEQUENCE IF NOT EXISTS numbers");
        query(one, "SELECT nextval('numbers')");
        SQLException error = assertThrows(SQLException.class, () -> query(two, "SELECT lastval()"));
        assertEquals("55000", error.getSQLState());
        // From now on it keeps its connection.
        String number = query(two, "SELECT nextval('numbers')");
        assertEquals(number, query(two, "SELECT currval('numbers')"));
    }

    // ---- clients that break off

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {"BEGIN", "BEGIN; SELECT 1/0", "BEGIN; CREATE TABLE broken (i int); COPY broken FROM STDIN"})
    void givenClientThatVanishesInTheMiddle_thenTheNextFindsNothingOfIt(String sql) throws Exception {
        try (RawClient raw = new RawClient(gateway.server.port())) {
            raw.logIn(TestPostgres.USER, TestPostgres.DATABASE, GatewayFixture.PASSWORD);
            String message = raw.message();
            while (!message.startsWith("Z")) {
                message = raw.message();
            }
            raw.query(sql);
            message = raw.message();
            while (!message.startsWith("Z") && !message.startsWith("G")) {
                message = raw.message();
            }
        }
        Connection next = connect();
        assertEquals("1", query(next, "SELECT 1"));
        assertEquals("f", query(next, "SELECT to_regclass('broken') IS NOT NULL"));
        execute(next, "VACUUM pg_class");
    }

    @Test
    void givenCancelOfAWaitingQuery_thenItIsTold57014AndGoesOn() throws Exception {
        Connection one = connect();
        Connection two = connect();
        one.setAutoCommit(false);
        query(one, "SELECT 1");
        try (Statement statement = two.createStatement()) {
            Future<SQLException> waiting =
                    clients.submit(() -> assertThrows(SQLException.class, () -> statement.execute("SELECT 2")));
            assertStillWaits(waiting);
            statement.cancel();
            assertEquals("57014", waiting.get(2, TimeUnit.SECONDS).getSQLState());
        }
        one.commit();
        assertEquals("2", query(two, "SELECT 2"));
    }

    @Test
    void givenManyCancels_thenNobodyElsesQueryIsHit() throws Exception {
        Connection victim = connect();
        Connection canceler = connect();
        for (int i = 0; i < 50; i++) {
            try (Statement statement = canceler.createStatement()) {
                statement.execute("SELECT 1");
                statement.cancel();
                try {
                    statement.execute("SELECT 1");
                } catch (SQLException e) {
                    assertEquals("57014", e.getSQLState());
                }
            }
            assertEquals("3", query(victim, "SELECT 3"));
        }
    }

    @Test
    void givenClientThatWaitsForAServerConnection_thenTheDatabaseIsToldUntilItHasOne() throws Exception {
        Connection one = connect();
        Connection two = connect();
        one.setAutoCommit(false);
        query(one, "SELECT 1");
        Future<String> waiting = clients.submit(() -> query(two, "SELECT 2"));
        await("the client in the queue to be told of", () -> queueTold() == 1);
        one.commit();
        assertEquals("2", waiting.get(5, TimeUnit.SECONDS));
        await("its end to be told of", () -> queueTold() == 0);
    }

    private static int queueTold() {
        return gateway.databases.told(LeaseCommand.Renew.class).stream()
                .reduce((before, last) -> last)
                .map(LeaseCommand.Renew::waiting)
                .orElse(0);
    }

    // ---- another writer

    @Test
    void givenSessions_whenTheWriterMoves_thenTheyGoOnThere() throws Exception {
        limit(3);
        Connection one = connectWith("prepareThreshold", "1");
        Connection listener = connect();
        execute(one, "SET search_path = mine");
        execute(one, "PREPARE plus (int) AS SELECT $1 + 1");
        String pinned = "spg99_session_pinned_total{reason=\"listen\"}";
        double before = metric(pinned);
        execute(listener, "LISTEN moved");
        await("the listener to be known as one", () -> metric(pinned) == before + 1);
        try (PreparedStatement statement = one.prepareStatement("SELECT ? + 1")) {
            statement.setInt(1, 1);
            assertEquals("2", only(statement));
            for (int i = 0; i < 3; i++) {
                loseWriter();
                gateway.databases.awake();
                assertEquals("2", only(statement));
                assertEquals("mine", query(one, "SHOW search_path"));
                assertEquals("3", query(one, "EXECUTE plus (2)"));
            }
        }
        await(
                "the listener on the new writer",
                () -> query(one, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LIS' || 'TEN \"moved\"%'")
                        .equals("1"));
        execute(one, "NOTIFY moved, 'here'");
        assertEquals(
                "here",
                listener.unwrap(PGConnection.class).getNotifications(10_000)[0].getParameter());
    }

    @Test
    void givenPinnedSession_whenTheWriterIsLost_then57P01() throws Exception {
        Connection one = connect();
        execute(one, "CREATE TEMP TABLE t (i int)");
        loseWriter();
        gateway.databases.awake();
        assertEquals(
                "57P01",
                assertThrows(SQLException.class, () -> query(one, "SELECT 1")).getSQLState());
    }

    /** What comes first is its answer, and right behind it, in one read, the word that the backend ends. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {"SELECT 1 | goes on", "LISTEN here | goes on", "CREATE TEMP TABLE t (i int) | ends"})
    void givenABackendThatEndsBehindItsAnswer_thenTheSessionGoesOnElsewhereIfItCan(String first, String then)
            throws Exception {
        try (HoldingSocket socket = new HoldingSocket(postgres)) {
            gateway.databases.awakeAt(socket.path());
            Connection one = connect();
            execute(one, first);
            // PostgreSQL is asked what they leave behind, which the third has to wait for; then that is known.
            for (int i = 0; i < 3; i++) {
                query(one, "SELECT 'before'");
            }
            socket.hold();
            Future<String> answer = clients.submit(() -> query(one, "SELECT 'the answer'"));
            String backend =
                    "FROM pg_stat_activity WHERE usename = 'tnt_test' AND state = 'idle' AND query LIKE '%the answer%'";
            await("it has answered", () -> asAdmin("SELECT count(*) " + backend).equals("1"));
            assertFalse(answer.isDone());
            asAdmin("SELECT pg_terminate_backend(pid, 10000) " + backend);
            assertEquals("the answer", answer.get(10, TimeUnit.SECONDS));
            if (then.equals("goes on")) {
                assertEquals("2", query(one, "SELECT 2"));
            } else {
                assertEquals(
                        "57P01",
                        assertThrows(SQLException.class, () -> query(one, "SELECT 2"))
                                .getSQLState());
                assertTrue(one.isClosed());
            }
        }
    }

    // ---- helpers

    private static String asAdmin(String sql) throws SQLException {
        try (Connection admin = postgres.admin()) {
            return query(admin, sql);
        }
    }

    private static void loseWriter() {
        gateway.databases.revoke(LeaseEvent.Reason.WRITER_LOST);
        await("the server connections to be closed", () -> metric("spg99_pool_total_conns") == 0);
    }

    private static void assertStillWaits(Future<?> future) {
        Awaitility.await("it still waits")
                .during(Duration.ofMillis(150))
                .atMost(Duration.ofSeconds(1))
                .until(() -> !future.isDone());
    }

    private static double metric(String name) {
        return gateway.metrics
                .scrape()
                .lines()
                .filter(line -> line.startsWith(name + " "))
                .mapToDouble(line -> Double.parseDouble(line.substring(name.length() + 1)))
                .sum();
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

    private static String only(PreparedStatement statement) throws SQLException {
        try (ResultSet rows = statement.executeQuery()) {
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
