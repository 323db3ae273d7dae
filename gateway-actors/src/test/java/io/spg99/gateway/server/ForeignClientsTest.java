package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Drivers that are not Java's: the same program directly and through the Gateway prints the same. */
@ExtendWith(SharedPostgres.class)
class ForeignClientsTest {

    /** Drivers that the machine does not have, fetched once from Debian's and npm's registries. */
    private static final Path PACKAGES = Path.of("target", "foreign-clients").toAbsolutePath();

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

    @Test
    void givenPsycopg_thenItIsShownTheSame() throws Exception {
        // That of Debian: its package is for this one.
        String python = Files.isExecutable(Path.of("/usr/bin/python3")) ? "/usr/bin/python3" : "python3";
        assumeRuns(
                "psycopg2 is not installed (Debian: apt-get install python3-psycopg2)",
                List.of(python, "-c", "import psycopg2"),
                "apt-get download python3-psycopg2 && dpkg-deb -x python3-psycopg2_*.deb .");
        assertSame(List.of(python, "-"), "psycopg.py");
    }

    @Test
    void givenNodePostgres_thenItIsShownTheSame() throws Exception {
        assumeRuns(
                "node-postgres is not installed (npm install pg, and its node_modules in NODE_PATH)",
                List.of("node", "-e", "require('pg')"),
                "npm install --no-save --no-audit --no-fund --prefix . pg@8");
        assertSame(List.of("node", "-"), "node-postgres.js");
    }

    /** @param fetch a command that brings what is missing to {@link #PACKAGES} */
    private static void assumeRuns(String otherwise, List<String> command, String fetch) throws Exception {
        if (!succeeds(command)) {
            Files.createDirectories(PACKAGES);
            assumeTrue(
                    succeeds(List.of("sh", "-c", "cd '" + PACKAGES + "' && " + fetch)) && succeeds(command), otherwise);
        }
    }

    private static boolean succeeds(List<String> command) throws InterruptedException {
        try {
            Process process = program(command)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            if (!process.waitFor(60, TimeUnit.SECONDS)) {
                process.descendants().forEach(ProcessHandle::destroyForcibly);
                process.destroyForcibly();
                return false;
            }
            return process.exitValue() == 0;
        } catch (IOException e) {
            return false;
        }
    }

    private static ProcessBuilder program(List<String> command) {
        ProcessBuilder builder = new ProcessBuilder(command);
        builder.environment().merge("NODE_PATH", PACKAGES + "/node_modules", (given, ours) -> given + ":" + ours);
        builder.environment().put("PYTHONPATH", PACKAGES + "/usr/lib/python3/dist-packages");
        return builder;
    }

    private static void assertSame(List<String> interpreter, String program) throws Exception {
        String expected = run(interpreter, program, postgres.port(), "disable");
        String actual = run(interpreter, program, gateway.server.port(), "require");
        assertTrue(expected.lines().count() > 20, expected);
        assertEquals(expected, actual);
    }

    private static String run(List<String> interpreter, String program, int port, String sslMode) throws Exception {
        ProcessBuilder builder = program(interpreter).redirectErrorStream(true);
        builder.environment()
                .putAll(Map.of(
                        "NODE_NO_WARNINGS",
                        "1",
                        "PGHOST",
                        "127.0.0.1",
                        "PGPORT",
                        String.valueOf(port),
                        "PGUSER",
                        TestPostgres.USER,
                        "PGDATABASE",
                        TestPostgres.DATABASE,
                        "PGPASSWORD",
                        GatewayFixture.PASSWORD,
                        "PGSSLMODE",
                        sslMode));
        Process process = builder.start();
        try (InputStream text = Objects.requireNonNull(
                        ForeignClientsTest.class.getResourceAsStream("/conformance/" + program));
                var in = process.getOutputStream()) {
            text.transferTo(in);
        }
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertTrue(process.waitFor(60, TimeUnit.SECONDS), "did not end: " + output);
        assertEquals(0, process.exitValue(), output);
        return output;
    }
}
