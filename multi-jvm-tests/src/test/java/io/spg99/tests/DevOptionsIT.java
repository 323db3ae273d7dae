package io.spg99.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.file.FileTree;
import io.spg99.tests.process.DevProcess;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What the options of {@code ./spg99 dev} do. */
class DevOptionsIT {

    private Path directory;

    @BeforeEach
    void makeDirectory() throws IOException {
        directory = DevProcess.temporaryDirectory();
    }

    @AfterEach
    void removeDirectory() throws IOException {
        FileTree.delete(directory);
    }

    private static void assertRefused(Process process, String hint) throws Exception {
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertTrue(process.waitFor(30, TimeUnit.SECONDS), "did not end: " + output);
        assertEquals(1, process.exitValue(), output);
        List<String> lines = output.lines().toList();
        assertEquals(1, lines.size(), output);
        assertTrue(lines.get(0).startsWith("spg99: ") && lines.get(0).contains(hint), output);
    }

    private static void connect(DevProcess dev) throws SQLException {
        try (Connection connection = DriverManager.getConnection(dev.jdbcUrl(), dev.user(), dev.password())) {
            assertTrue(connection.isValid(10));
        }
    }

    @Test
    void givenAnIdleTimeout_whenTheDemoDatabaseIsUsedNoLonger_thenItStops() throws Exception {
        try (DevProcess dev = DevProcess.start(directory.resolve("data"), "--idle-timeout", "1s")) {
            assertEquals(
                    "1s", dev.api().database("demo", "app").path("idle_timeout").asText());
            connect(dev);
            dev.api()
                    .awaitDatabase(
                            "demo",
                            "app",
                            Duration.ofSeconds(15),
                            json -> json.path("state").asText().equals("stopped")
                                    && json.path("generation").asInt() > 1);
        }
    }

    @Test
    void givenADeletedDemoDatabase_whenStartedAgain_thenItStaysDeletedUntilEverythingIsForgotten() throws Exception {
        Path data = directory.resolve("data");
        String key;
        try (DevProcess first = DevProcess.start(data)) {
            key = first.get("api_key");
            assertEquals(
                    202,
                    first.api().delete("/v2/tenants/demo/dbs/app?force=true").status());
            Awaitility.await("demo database gone")
                    .atMost(Duration.ofSeconds(15))
                    .until(() -> first.api().get("/v2/tenants/demo/dbs/app").status() == 404);
        }
        try (DevProcess again = DevProcess.start(data)) {
            assertEquals(key, again.get("api_key"));
            assertEquals("null", again.get("dsn"));
            assertEquals(404, again.api().get("/v2/tenants/demo/dbs/app").status());
        }
        try (DevProcess anew = DevProcess.start(data, "--reset")) {
            assertNotEquals(key, anew.get("api_key"));
            assertEquals(1, anew.api().get("/v2/tenants").body().path("total").asInt());
            connect(anew);
        }
    }

    /** Root may write wherever there is a file system that lets anybody. */
    @Test
    void givenADirectoryThatCannotBeWritten_whenStarted_thenOneLineSaysWhatToDo() throws Exception {
        assertRefused(DevProcess.launch(Path.of("/proc/spg99")), "--data");
        Path closed = Files.createDirectory(
                directory.resolve("closed"),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("r-xr-xr-x")));
        if (!Files.isWritable(closed)) {
            assertRefused(DevProcess.launch(closed), "--data");
            assertRefused(DevProcess.launch(closed.resolve("data")), "--data");
        }
    }

    @Test
    void givenOnePortForTwo_whenStarted_thenOneLineSaysWhatToDo() throws Exception {
        String port = String.valueOf(DevProcess.freePort());
        assertRefused(
                DevProcess.launch(directory.resolve("data"), "--http-port", port, "--gateway-port", port),
                "--http-port and --gateway-port");
        assertTrue(Files.notExists(directory.resolve("data")));
    }
}
