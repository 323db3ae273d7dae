package io.spg99.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.spg99.storage.file.FileTree;
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
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** PostgreSQL's own client programs through the Gateway; each test needs its program on the path. */
class ClientProgramsIT {

    private static final long COPY_MEMORY_ALLOWANCE_KB = 192 * 1024;

    private static DevProcess dev;
    private static Path directory;

    @BeforeAll
    static void start() throws IOException {
        directory = DevProcess.temporaryDirectory();
        dev = DevProcess.start(directory.resolve("data"));
    }

    @AfterAll
    static void stop() throws IOException {
        dev.close();
        FileTree.delete(directory);
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
                    "--time=3",
                    dev.get("dsn"));
            assertTrue(output.contains("number of failed transactions: 0 "), output);
        }
    }

    @Test
    void psqlCopiesBothWaysWithFlatGatewayMemory() throws Exception {
        assumeInstalled("psql", 13);
        Path out = directory.resolve("rows.tsv");
        run(
                "psql",
                dev.get("dsn"),
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                "CREATE TABLE copied AS SELECT g AS id, repeat(md5(g::text), 8) AS text FROM generate_series(1, 300000) g");
        long before = dev.residentKilobytes();
        run("psql", dev.get("dsn"), "-v", "ON_ERROR_STOP=1", "-c", "\\copy copied TO '" + out + "'");
        run("psql", dev.get("dsn"), "-v", "ON_ERROR_STOP=1", "-c", "CREATE TABLE again (LIKE copied)");
        run("psql", dev.get("dsn"), "-v", "ON_ERROR_STOP=1", "-c", "\\copy again FROM '" + out + "'");
        long after = dev.residentKilobytes();
        assertTrue(Files.size(out) > 70_000_000);
        assertEquals(0, number("SELECT count(*) FROM (TABLE copied EXCEPT TABLE again) difference"));
        assertEquals(300_000, number("SELECT count(*) FROM again"));
        assertTrue(after - before < COPY_MEMORY_ALLOWANCE_KB, "before=%d after=%d kB".formatted(before, after));
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
    void aDumpAndRestoreRoundTripIsTheSame() throws Exception {
        assumeInstalled("pg_dump", 17);
        run("psql", dev.get("dsn"), "-v", "ON_ERROR_STOP=1", "-c", """
                CREATE SCHEMA dumped
                CREATE TABLE a (id serial PRIMARY KEY, t text UNIQUE)
                CREATE VIEW v AS SELECT t FROM a;
                INSERT INTO dumped.a (t) SELECT md5(g::text) FROM generate_series(1, 10000) g""");
        long hash = number("SELECT sum(hashtext(a::text)) FROM dumped.a");
        Path dump = directory.resolve("dump");
        run("pg_dump", "--format=custom", "--schema=dumped", "--file=" + dump, dev.get("dsn"));
        run("psql", dev.get("dsn"), "-c", "DROP SCHEMA dumped CASCADE");
        List<String> restore = new ArrayList<>(List.of("pg_restore", "--exit-on-error", "--dbname=" + dev.get("dsn")));
        restore.add(dump.toString());
        run(restore.toArray(String[]::new));
        assertEquals(hash, number("SELECT sum(hashtext(a::text)) FROM dumped.a"));
    }
}
