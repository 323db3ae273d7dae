package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyIn;
import org.postgresql.copy.CopyManager;
import org.postgresql.jdbc.PreferQueryMode;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

/**
 * The same scripts directly and through the Gateway, over two server connections that another client swaps before every
 * step: a client is shown the same.
 */
@ExtendWith(SharedPostgres.class)
class ConformanceTest {

    private interface Script {
        void run(Connection connection, Transcript transcript) throws Exception;
    }

    private static final Map<String, Script> SCRIPTS = new LinkedHashMap<>();

    static {
        SCRIPTS.put("types", ConformanceTest::types);
        SCRIPTS.put("prepared", ConformanceTest::prepared);
        SCRIPTS.put("batches", ConformanceTest::batches);
        SCRIPTS.put("transactions", ConformanceTest::transactions);
        SCRIPTS.put("errors", ConformanceTest::errors);
        SCRIPTS.put("cursors", ConformanceTest::cursors);
        SCRIPTS.put("copy", ConformanceTest::copy);
        SCRIPTS.put("large objects", ConformanceTest::largeObjects);
        SCRIPTS.put("large statements", ConformanceTest::largeStatements);
        SCRIPTS.put("metadata", ConformanceTest::metadata);
        SCRIPTS.put("settings", ConformanceTest::settings);
        SCRIPTS.put("notifications", ConformanceTest::notifications);
        SCRIPTS.put("routines", ConformanceTest::routines);
        SCRIPTS.put("session objects", ConformanceTest::sessionObjects);
        SCRIPTS.put("changed tables", ConformanceTest::changedTables);
        SCRIPTS.put("cancel", ConformanceTest::cancel);
    }

    private static TestPostgres postgres;
    private static GatewayFixture gateway;

    @BeforeAll
    static void start(TestPostgres shared) throws Exception {
        postgres = shared;
        gateway = new GatewayFixture(postgres, "");
        gateway.databases.serverConnections(2);
        gateway.databases.awake();
    }

    @AfterAll
    static void stop() throws Exception {
        gateway.stop();
    }

    static Stream<Arguments> scripts() {
        return SCRIPTS.keySet().stream()
                .flatMap(script -> Stream.of("simple", "extendedForPrepared", "extendedCacheEverything")
                        .map(mode -> Arguments.of(script, mode)));
    }

    @ParameterizedTest(name = "{0}, {1}")
    @MethodSource("scripts")
    void givenAScript_whenRunDirectlyAndThroughTheGateway_thenTheClientIsShownTheSame(String script, String mode)
            throws Exception {
        Properties direct = properties(new Properties(), mode);
        direct.setProperty("user", TestPostgres.USER);
        List<String> expected;
        fresh();
        try (Connection connection = DriverManager.getConnection(
                "jdbc:postgresql://127.0.0.1:%d/%s?sslmode=disable".formatted(postgres.port(), TestPostgres.DATABASE),
                direct)) {
            expected = run(script, connection, () -> {});
        }
        fresh();
        List<String> actual;
        try (Connection other = gateway.connect();
                Connection connection = gateway.connect(properties(gateway.properties(), mode))) {
            other.setAutoCommit(false);
            actual = run(script, connection, new Swap(other));
        }
        assertFalse(expected.isEmpty());
        assertEquals(String.join("\n", expected), String.join("\n", actual));
    }

    /** Every other time it takes the server connection that was used last. */
    private static final class Swap implements Transcript.Step {
        private final Connection other;
        private boolean holds;

        Swap(Connection other) {
            this.other = other;
        }

        @Override
        public void run() throws SQLException {
            if (holds) {
                other.rollback();
            } else {
                try (Statement statement = other.createStatement()) {
                    statement.execute("SET application_name = 'somebody else'");
                }
            }
            holds = !holds;
        }
    }

    private static Properties properties(Properties base, String mode) {
        base.setProperty("preferQueryMode", mode);
        base.setProperty("prepareThreshold", "2");
        base.setProperty("currentSchema", "conformance");
        base.setProperty("ApplicationName", "conformance");
        return base;
    }

    private static void fresh() throws SQLException {
        try (Connection admin = postgres.adminOf(TestPostgres.DATABASE);
                Statement statement = admin.createStatement()) {
            statement.execute("DROP SCHEMA IF EXISTS conformance CASCADE");
            statement.execute("CREATE SCHEMA conformance AUTHORIZATION " + TestPostgres.USER);
        }
    }

    private static List<String> run(String script, Connection connection, Transcript.Step before) throws Exception {
        Transcript transcript = new Transcript(before);
        Objects.requireNonNull(SCRIPTS.get(script)).run(connection, transcript);
        return transcript.lines();
    }

    // ---- scripts

    private static void types(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement()) {
            transcript.all(statement, """
                    SELECT 1::int2, 2::int4, 3::int8, 1.5::float4, 2.5::float8, 3.25::numeric, true, 'text'::text,
                      'x'::char(3), '\\xdeadbeef'::bytea, date '2026-11-23', timestamptz '2026-11-23 07:00+00', interval '1 day',
                      ARRAY[1, 2, NULL], '{"a": 1}'::jsonb, NULL::text, int4range(1, 5), '127.0.0.1'::inet, 'žluťoučký'""");
            transcript.all(
                    statement, "SELECT 1 AS a; SELECT 2 AS b, 'x' AS c; CREATE TABLE many (a int); SELECT * FROM many");
            transcript.all(statement, "");
            transcript.all(statement, "SELECT g, repeat('x', g % 50) FROM generate_series(1, 2000) g");
        }
    }

    private static void prepared(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement();
                PreparedStatement add = connection.prepareStatement("SELECT ?::int + ?::int AS sum, ?::text");
                PreparedStatement other =
                        connection.prepareStatement("SELECT count(*) FROM generate_series(1, ?::int)")) {
            for (int i = 0; i < 6; i++) {
                transcript.query(add, i, i + 1, "text " + i);
                transcript.query(other, i);
            }
            transcript.all(statement, "DEALLOCATE ALL");
            transcript.query(other, 3);
            transcript.all(statement, "PREPARE mine (int) AS SELECT $1 * 2 AS twice");
            transcript.all(statement, "EXECUTE mine (21)");
            transcript.all(statement, "SELECT name, statement FROM pg_prepared_statements WHERE from_sql");
            transcript.all(statement, "DEALLOCATE mine");
            transcript.all(statement, "EXECUTE mine (21)");
        }
    }

    private static void batches(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement()) {
            transcript.all(statement, "CREATE TABLE b (id serial PRIMARY KEY, t text UNIQUE)");
            try (PreparedStatement insert =
                    connection.prepareStatement("INSERT INTO b (t) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
                for (int round = 0; round < 3; round++) {
                    for (int i = 0; i < 50; i++) {
                        insert.setString(1, round + "-" + i);
                        insert.addBatch();
                    }
                    transcript.step(() -> {
                        transcript.add(insert.executeBatch().length);
                        transcript.rows(insert.getGeneratedKeys());
                    });
                }
                for (String value : List.of("new", "0-1", "never")) {
                    insert.setString(1, value);
                    insert.addBatch();
                }
                transcript.step(insert::executeBatch);
            }
            statement.addBatch("INSERT INTO b (t) VALUES ('one')");
            statement.addBatch("UPDATE b SET t = t || '!' WHERE t = 'one'");
            statement.addBatch("SELECT broken");
            transcript.step(statement::executeBatch);
            transcript.all(statement, "SELECT count(*), max(t) FROM b");
        }
    }

    private static void transactions(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement()) {
            transcript.all(statement, "CREATE TABLE t (a int)");
            connection.setAutoCommit(false);
            transcript.all(statement, "INSERT INTO t VALUES (1)");
            transcript.step(connection::rollback);
            transcript.all(statement, "INSERT INTO t VALUES (2)");
            Savepoint savepoint = connection.setSavepoint("here");
            transcript.all(statement, "INSERT INTO nowhere VALUES (1)");
            transcript.all(statement, "SELECT 'in a failed transaction'");
            transcript.step(() -> connection.rollback(savepoint));
            transcript.all(statement, "INSERT INTO t VALUES (3)");
            transcript.step(connection::commit);
            transcript.all(statement, "SELECT broken");
            transcript.step(connection::commit);
            transcript.all(statement, "SET LOCAL work_mem = '123kB'; SHOW work_mem");
            transcript.step(connection::commit);
            connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            connection.setReadOnly(true);
            transcript.all(statement, "INSERT INTO t VALUES (4)");
            transcript.step(connection::rollback);
            transcript.all(statement, "SHOW transaction_isolation");
            transcript.step(connection::rollback);
            connection.setReadOnly(false);
            connection.setAutoCommit(true);
            transcript.all(statement, "BEGIN; INSERT INTO t VALUES (5); COMMIT; SELECT 1/0; SELECT 2");
            transcript.all(statement, "COMMIT AND CHAIN");
            transcript.all(statement, "SELECT a FROM t ORDER BY a");
        }
    }

    private static void errors(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement();
                PreparedStatement divide = connection.prepareStatement("SELECT 10 / ?::int")) {
            transcript.all(statement, "SELEC 1");
            transcript.all(statement, "SELECT 1 / (3 - g) FROM generate_series(1, 5) g");
            transcript.all(statement, "SELECT missing FROM pg_class");
            transcript.all(statement, "CREATE TABLE u (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
            transcript.all(statement, "INSERT INTO u VALUES (1), (1)");
            transcript.all(statement, "SELECT 1; SELECT 1/0; SELECT 3");
            for (int i = 3; i >= -1; i--) {
                transcript.query(divide, i);
            }
            transcript.all(
                    statement, "DO $$BEGIN RAISE EXCEPTION 'own' USING ERRCODE = 'P0099', HINT = 'a hint'; END$$");
            transcript.all(statement, "DO $$BEGIN RAISE NOTICE 'a notice'; RAISE WARNING 'a warning'; END$$");
            transcript.all(statement, "SELECT 'still there'");
        }
    }

    private static void cursors(Connection connection, Transcript transcript) throws Exception {
        connection.setAutoCommit(false);
        try (PreparedStatement select = connection.prepareStatement("SELECT g FROM generate_series(1, ?::int) g");
                Statement statement = connection.createStatement()) {
            for (int fetch : List.of(1, 7, 100)) {
                select.setFetchSize(fetch);
                transcript.query(select, 50);
            }
            transcript.all(statement, "DECLARE c SCROLL CURSOR FOR SELECT g FROM generate_series(1, 10) g");
            transcript.all(statement, "FETCH 3 FROM c; FETCH PRIOR FROM c; MOVE 2 IN c; FETCH ALL FROM c");
            transcript.step(connection::commit);
            transcript.all(statement, "FETCH 1 FROM c");
            transcript.step(connection::rollback);
            transcript.all(statement, "DECLARE h CURSOR WITH HOLD FOR SELECT g FROM generate_series(1, 4) g");
            transcript.step(connection::commit);
            transcript.all(statement, "FETCH 2 FROM h");
            transcript.step(connection::commit);
            transcript.all(statement, "CLOSE h");
            transcript.step(connection::commit);
        }
    }

    private static void copy(Connection connection, Transcript transcript) throws Exception {
        CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
        try (Statement statement = connection.createStatement()) {
            transcript.all(statement, "CREATE TABLE c (a int, t text)");
            StringBuilder lines = new StringBuilder();
            for (int i = 0; i < 5_000; i++) {
                lines.append(i).append('\t').append("text ".repeat(i % 20)).append('\n');
            }
            transcript.step(() -> transcript.add(copy.copyIn("COPY c FROM STDIN", new StringReader(lines.toString()))));
            transcript.step(() -> {
                ByteArrayOutputStream out = new ByteArrayOutputStream();
                transcript.add(copy.copyOut("COPY (SELECT * FROM c ORDER BY a) TO STDOUT", out));
                transcript.add(out.toString(StandardCharsets.UTF_8));
            });
            transcript.step(() -> copy.copyIn("COPY c FROM STDIN", new StringReader("no number\tx\n")));
            transcript.step(() -> {
                CopyIn aborted = copy.copyIn("COPY c FROM STDIN");
                byte[] row = "1\tx\n".getBytes(StandardCharsets.UTF_8);
                aborted.writeToCopy(row, 0, row.length);
                aborted.cancelCopy();
            });
            transcript.step(() -> copy.copyOut("COPY nowhere TO STDOUT", new ByteArrayOutputStream()));
            transcript.step(() -> copy.copyOut(
                    "COPY (SELECT 1 / (100 - g) FROM generate_series(1, 200) g) TO STDOUT",
                    new ByteArrayOutputStream()));
            transcript.all(statement, "SELECT count(*), sum(length(t)) FROM c");
        }
    }

    private static void largeObjects(Connection connection, Transcript transcript) throws Exception {
        connection.setAutoCommit(false);
        LargeObjectManager objects = connection.unwrap(PGConnection.class).getLargeObjectAPI();
        long[] id = new long[1];
        transcript.step(() -> {
            id[0] = objects.createLO();
            try (LargeObject object = objects.open(id[0], LargeObjectManager.READWRITE)) {
                object.write(new byte[200_000]);
                object.seek(100);
                object.write("here".getBytes(StandardCharsets.UTF_8));
            }
            connection.commit();
        });
        transcript.step(() -> {
            try (LargeObject object = objects.open(id[0], LargeObjectManager.READ)) {
                object.seek(98);
                transcript.add(new String(object.read(8), StandardCharsets.ISO_8859_1));
                transcript.add(object.size());
            }
            connection.commit();
        });
        transcript.step(() -> {
            objects.delete(id[0]);
            connection.commit();
        });
    }

    private static void largeStatements(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement();
                PreparedStatement length = connection.prepareStatement("SELECT length(?::text)")) {
            for (int size : List.of(16_384, 40_000, 70_000, 1_200_000)) {
                String text = "x".repeat(size);
                transcript.all(statement, "SELECT length('" + text + "'), " + size);
                transcript.query(length, text);
                try (PreparedStatement large = connection.prepareStatement("SELECT ?::int /* " + text + " */ AS one")) {
                    for (int i = 0; i < 4; i++) {
                        transcript.query(large, i);
                    }
                }
                transcript.all(statement, "SELECT repeat('y', " + size + ")");
            }
        }
    }

    private static void metadata(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement()) {
            transcript.all(statement, "CREATE TABLE m (id int PRIMARY KEY, t varchar(20) NOT NULL, n numeric(8, 2))");
            transcript.all(statement, "COMMENT ON TABLE m IS 'a comment'");
            transcript.step(() -> transcript.rows(connection.getMetaData().getTables(null, "conformance", "%", null)));
            transcript.step(() -> transcript.rows(connection.getMetaData().getColumns(null, "conformance", "m", "%")));
            transcript.step(() -> transcript.rows(connection.getMetaData().getPrimaryKeys(null, "conformance", "m")));
            if (connection.unwrap(PGConnection.class).getPreferQueryMode() == PreferQueryMode.SIMPLE) {
                // Nothing can be described there.
                return;
            }
            try (PreparedStatement select = connection.prepareStatement("SELECT * FROM m WHERE id = ? AND t = ?")) {
                transcript.step(() -> {
                    for (int i = 1; i <= select.getMetaData().getColumnCount(); i++) {
                        transcript.add(select.getMetaData().getColumnName(i) + " "
                                + select.getMetaData().getColumnTypeName(i) + " "
                                + select.getMetaData().getPrecision(i));
                    }
                });
                transcript.step(() -> {
                    for (int i = 1; i <= select.getParameterMetaData().getParameterCount(); i++) {
                        transcript.add(select.getParameterMetaData().getParameterTypeName(i));
                    }
                });
                transcript.query(select, 1, "x");
            }
            transcript.step(() -> transcript.add(connection.getMetaData().getDatabaseProductVersion()));
        }
    }

    private static void settings(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement()) {
            for (String sql : List.of(
                    "SHOW application_name",
                    "SET application_name = 'mine'",
                    "SHOW application_name",
                    "SET work_mem = '7MB'; SET statement_timeout = '9s'",
                    "SELECT name, setting FROM pg_settings WHERE name IN ('work_mem', 'statement_timeout') ORDER BY name",
                    "SELECT set_config('my.own', 'value', false)",
                    "SELECT current_setting('my.own')",
                    "SET TIME ZONE 'Europe/Prague'",
                    "SELECT timestamptz '2026-11-23 07:00+00'",
                    "SET DateStyle = 'German'",
                    "SELECT date '2026-11-23'::text",
                    "SET bytea_output = 'escape'",
                    "SELECT '\\x01ff'::bytea::text",
                    "SET nothing.like.this = 1",
                    "SET no_such_setting = 1",
                    "RESET work_mem",
                    "SHOW work_mem",
                    "RESET ALL",
                    "SHOW application_name",
                    "SET search_path = pg_catalog",
                    "SELECT current_schemas(true)::text",
                    "DISCARD ALL",
                    "SHOW search_path",
                    "SHOW TimeZone")) {
                transcript.all(statement, sql);
            }
        }
    }

    private static void notifications(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement()) {
            transcript.all(statement, "LISTEN channel");
            transcript.all(statement, "NOTIFY channel, 'first'");
            transcript.step(() -> {
                for (var notification : connection.unwrap(PGConnection.class).getNotifications(5_000)) {
                    transcript.add(notification.getName() + " " + notification.getParameter());
                }
            });
            transcript.all(statement, "SELECT pg_listening_channels()");
            transcript.all(statement, "UNLISTEN *");
            transcript.all(statement, "SELECT pg_listening_channels()");
        }
    }

    private static void routines(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement()) {
            transcript.all(statement, """
                    CREATE FUNCTION twice(a int, OUT b int) LANGUAGE plpgsql AS $$BEGIN b := a * 2; END$$;
                    CREATE PROCEDURE halves() LANGUAGE plpgsql AS
                    $$BEGIN CREATE TABLE half (a int); COMMIT; INSERT INTO half VALUES (1); ROLLBACK; END$$""");
            try (CallableStatement call = connection.prepareCall("{? = call twice(?)}")) {
                call.registerOutParameter(1, Types.INTEGER);
                for (int i = 0; i < 4; i++) {
                    call.setInt(2, i);
                    transcript.step(() -> {
                        call.execute();
                        transcript.add(call.getInt(1));
                    });
                }
            }
            transcript.all(statement, "CALL halves()");
            transcript.all(statement, "SELECT count(*) FROM half");
        }
    }

    private static void sessionObjects(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement()) {
            transcript.all(statement, "CREATE TEMP TABLE mine AS SELECT 1 AS a");
            transcript.all(statement, "INSERT INTO mine VALUES (2)");
            transcript.all(statement, "SELECT a FROM mine ORDER BY a");
            transcript.all(statement, "DROP TABLE mine");
            transcript.all(statement, "SELECT a FROM mine");
            transcript.all(statement, "SELECT pg_advisory_lock(99)");
            transcript.all(statement, "SELECT pg_advisory_unlock(99)");
            transcript.all(statement, "SELECT pg_advisory_unlock(99)");
            transcript.all(statement, "CREATE SEQUENCE s");
            transcript.all(statement, "SELECT nextval('s')");
        }
    }

    private static void changedTables(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement();
                PreparedStatement select = connection.prepareStatement("SELECT * FROM changing")) {
            transcript.all(statement, "CREATE TABLE changing AS SELECT 1 AS a");
            for (int i = 0; i < 4; i++) {
                transcript.query(select);
            }
            transcript.all(statement, "ALTER TABLE changing ADD COLUMN b text DEFAULT 'new'");
            for (int i = 0; i < 4; i++) {
                transcript.query(select);
            }
        }
    }

    private static void cancel(Connection connection, Transcript transcript) throws Exception {
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            transcript.all(statement, "SELECT pg_sleep(20)");
            statement.setQueryTimeout(0);
            transcript.all(statement, "SELECT 'goes on'");
            transcript.all(statement, "SET statement_timeout = '50ms'");
            transcript.all(statement, "SELECT pg_sleep(20)");
            transcript.all(statement, "RESET statement_timeout");
        }
        try (ResultSet rows = connection.getMetaData().getSchemas(null, "conformance")) {
            transcript.rows(rows);
        }
    }
}
