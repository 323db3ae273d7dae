package io.spg99.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.spg99.tests.process.DevProcess;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** PostgreSQL's own client programs through the Gateway; each test needs its program on the path, or fetches it. */
@ExtendWith(SharedDev.class)
class ClientProgramsIT {

    /** A third of what is copied, at most: the heap may grow meanwhile. */
    private static final long COPY_ALLOWANCE_MB = 128;

    private static final boolean LONG = Boolean.getBoolean("spg99.long");

    @TempDir
    private static Path directory;

    private static DevProcess dev;
    private static DumpPrograms dumpPrograms;

    @BeforeAll
    static void start(DevProcess shared) {
        dumpPrograms = DumpPrograms.prepare();
        dev = shared;
    }

    private static Process launch(String... command) throws IOException {
        return new ProcessBuilder(command).redirectErrorStream(true).start();
    }

    private static String run(String... command) throws Exception {
        Process process = launch(command);
        process.getOutputStream().close();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertTrue(process.waitFor(120, TimeUnit.SECONDS));
        assertEquals(0, process.exitValue(), output);
        return output;
    }

    /** Skips the test unless the program is installed, in at least this major version. */
    private static void assumeInstalled(String program, int major) throws Exception {
        try {
            String version = run(program, "--version").replaceAll("(?s)^\\D*(\\d+).*", "$1");
            assumeTrue(Integer.parseInt(version) >= major, program + " is older than version " + major);
        } catch (IOException e) {
            assumeTrue(false, program + " is not installed");
        }
    }

    private static long number(String query) throws SQLException {
        try (Connection connection = DriverManager.getConnection(dev.jdbcUrl(), dev.user(), dev.password());
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(query)) {
            assertTrue(rows.next());
            return rows.getLong(1);
        }
    }

    @ParameterizedTest
    @CsvSource({"simple", "extended", "prepared"})
    void pgbenchRunsWithoutAnError(String protocol) throws Exception {
        assumeInstalled("pgbench", 13);
        run("pgbench", "--initialize", "--quiet", "--scale=2", dev.get("dsn"));
        for (String script : List.of("select-only", "tpcb-like")) {
            String output = run(
                    "pgbench",
                    "--no-vacuum",
                    "--builtin=" + script,
                    "--protocol=" + protocol,
                    "--client=8",
                    "--jobs=2",
                    "--time=" + (LONG ? 10 : 1),
                    dev.get("dsn"));
            assertTrue(output.contains("number of failed transactions: 0 "), output);
        }
    }

    @Test
    void psqlCopiesBothWaysWithFlatMemory() throws Exception {
        assumeInstalled("psql", 13);
        int rows = LONG ? 1_000_000 : 400_000;
        String filler = "repeat(md5(%s::text), 32)";
        Path out = directory.resolve("rows.tsv");
        psql("CREATE TABLE copied (id int, filler text)");
        long toClient = peakOf(() -> psql("\\copy (SELECT g, " + filler.formatted("g") + " FROM generate_series(1, "
                + rows + ") g) TO '" + out + "'"));
        long toServer = peakOf(() -> psql("\\copy copied FROM '" + out + "'"));

        assertTrue(Files.size(out) > rows * 1024L, "bytes=" + Files.size(out));
        assertEquals(rows, number("SELECT count(DISTINCT id) FROM copied WHERE filler = " + filler.formatted("id")));
        System.out.printf(
                "[figures] memory for \\copy of %d MB: out %d MB, in %d MB%n", rows / 1000, toClient, toServer);
        assertTrue(toClient < COPY_ALLOWANCE_MB && toServer < COPY_ALLOWANCE_MB, "out=" + toClient + " in=" + toServer);
        psql("DROP TABLE copied");
        Files.delete(out);
    }

    private interface Work {
        void run() throws Exception;
    }

    /** Megabytes that the program had at the worst moment of it, beside those it had before. */
    private static long peakOf(Work work) throws Exception {
        long before = dev.residentKilobytes();
        dev.forgetPeak();
        work.run();
        return (dev.peakKilobytes() - before) / 1024;
    }

    private static void psql(String command) throws Exception {
        psql(dev.get("dsn"), command);
    }

    private static void psql(String dsn, String command) throws Exception {
        run("psql", dsn, "-X", "-v", "ON_ERROR_STOP=1", "-c", command);
    }

    @Test
    void ctrlCInPsqlCancelsTheQuery() throws Exception {
        assumeInstalled("psql", 13);
        Process psql = launch("psql", dev.get("dsn"), "-c", "SELECT pg_sleep(60) /* cancel me */");
        Awaitility.await("the query to run")
                .atMost(Duration.ofSeconds(20))
                .until(() -> number("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%cancel me%'"
                                + " AND state = 'active' AND pid <> pg_backend_pid()")
                        == 1);
        new ProcessBuilder("kill", "-INT", String.valueOf(psql.pid())).start().waitFor();
        String output = new String(psql.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertTrue(psql.waitFor(10, TimeUnit.SECONDS));
        assertTrue(output.contains("canceling statement due to user request"), output);
    }

    @Test
    void aDumpOfAWholeDatabaseIsRestoredAsItWas() throws Exception {
        assumeInstalled("psql", 13);
        String dump = dumpPrograms.program("pg_dump");
        String restore = dumpPrograms.program("pg_restore");
        String original = create("original");
        String restored = create("restored");
        psql(original, """
                CREATE EXTENSION pgcrypto;
                CREATE SCHEMA shop;
                CREATE TYPE shop.mood AS ENUM ('good', 'bad');
                CREATE TABLE shop.customer (id serial PRIMARY KEY, name text UNIQUE NOT NULL, mood shop.mood DEFAULT 'good');
                CREATE TABLE shop.sale (customer int REFERENCES shop.customer, at date, amount numeric(10, 2))
                    PARTITION BY RANGE (at);
                CREATE TABLE shop.sale_2026 PARTITION OF shop.sale FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
                CREATE INDEX ON shop.sale (at) WHERE amount > 10;
                CREATE VIEW shop.happy AS SELECT name FROM shop.customer WHERE mood = 'good';
                CREATE MATERIALIZED VIEW shop.total AS SELECT customer, sum(amount) FROM shop.sale GROUP BY customer;
                CREATE FUNCTION shop.twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1';
                COMMENT ON TABLE shop.sale IS 'what was sold';
                INSERT INTO shop.customer (name) SELECT md5(g::text) FROM generate_series(1, 5000) g;
                INSERT INTO shop.sale SELECT g, '2026-01-01'::date + g % 365, g / 7.0 FROM generate_series(1, 5000) g;
                REFRESH MATERIALIZED VIEW shop.total;
                SELECT lo_from_bytea(4711, decode(repeat('c0ffee', 5000), 'hex'));""");
        Path file = directory.resolve("dump");

        run(dump, "--format=custom", "--file=" + file, original);
        run(restore, "--exit-on-error", "--dbname=" + restored, file.toString());

        assertEquals(plainDump(dump, original), plainDump(dump, restored));
        assertTrue(run("psql", restored, "-X", "-At", "-c", "SELECT count(*) FROM shop.sale, spg99.status")
                .contains("5000"));
    }

    /** Makes a database of the demo tenant; returns its DSN. */
    private static String create(String database) {
        assertEquals(
                201,
                dev.api()
                        .post("/v2/tenants/" + dev.get("tenant") + "/dbs", "{\"name\":\"" + database + "\"}")
                        .status());
        return dev.get("dsn").replace("/" + dev.get("database") + "?", "/" + database + "?");
    }

    /** All of a database as SQL, without what is another in each dump. */
    private static String plainDump(String program, String dsn) throws Exception {
        return run(program, dsn)
                .lines()
                .filter(line -> !line.startsWith("\\restrict ") && !line.startsWith("\\unrestrict "))
                .collect(Collectors.joining("\n"));
    }
}
