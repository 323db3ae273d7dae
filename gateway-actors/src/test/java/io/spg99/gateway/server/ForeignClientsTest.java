package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
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
        assumeRuns(
                "psycopg2 is not installed (Debian: apt-get install python3-psycopg2)",
                List.of("python3", "-c", "import psycopg2"));
        assertSame(List.of("python3", "-"), "psycopg.py");
    }

    @Test
    void givenNodePostgres_thenItIsShownTheSame() throws Exception {
        assumeRuns(
                "node-postgres is not installed (npm install pg, and its node_modules in NODE_PATH)",
                List.of("node", "-e", "require('pg')"));
        assertSame(List.of("node", "-"), "node-postgres.js");
    }

    private static void assumeRuns(String otherwise, List<String> command) throws Exception {
        try {
            Process process =
                    new ProcessBuilder(command).redirectErrorStream(true).start();
            assumeTrue(process.waitFor(30, TimeUnit.SECONDS) && process.exitValue() == 0, otherwise);
        } catch (IOException e) {
            assumeTrue(false, otherwise);
        }
    }

    private static void assertSame(List<String> interpreter, String program) throws Exception {
        String expected = run(interpreter, program, postgres.port(), "disable");
        String actual = run(interpreter, program, gateway.server.port(), "require");
        assertTrue(expected.lines().count() > 20, expected);
        assertEquals(expected, actual);
    }

    private static String run(List<String> interpreter, String program, int port, String sslMode) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(interpreter).redirectErrorStream(true);
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
