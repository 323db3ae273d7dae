package io.spg99.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.file.FileTree;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.PostgresProcesses;
import io.spg99.tests.process.ProcessSignal;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** SIGINT and SIGTERM end everything within 10 s, also if something hangs. */
class DevStopIT {

    private static final int LIMIT_SECONDS = 10;

    private Path directory;
    private Path data;
    private DevProcess dev;

    @BeforeEach
    void start() throws IOException {
        directory = DevProcess.temporaryDirectory();
        data = directory.resolve("data");
        dev = DevProcess.start(data);
    }

    @AfterEach
    void endEverything() throws IOException {
        dev.process().destroyForcibly();
        for (long pid : PostgresProcesses.workingBelow(data)) {
            ProcessSignal.KILL.send(pid);
        }
        // A copy of an image that was being made ends by itself a moment after its platform.
        Awaitility.await("everything is deleted")
                .ignoreExceptionsInstanceOf(IOException.class)
                .until(() -> {
                    FileTree.delete(directory);
                    return true;
                });
    }

    private Connection use() throws Exception {
        Connection connection = DriverManager.getConnection(dev.jdbcUrl(), dev.user(), dev.password());
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE IF NOT EXISTS kept (id int)");
            statement.execute("INSERT INTO kept VALUES (1)");
        }
        return connection;
    }

    private static void freeze(List<Long> processes) throws IOException {
        assertFalse(processes.isEmpty());
        for (long pid : processes) {
            ProcessSignal.STOP.send(pid);
        }
    }

    /** Ctrl-C; a shell that runs us in the background may have told all its children to ignore it. */
    private int interrupt() throws Exception {
        String ignored = Files.readAllLines(Path.of("/proc/" + dev.process().pid() + "/status")).stream()
                .filter(line -> line.startsWith("SigIgn:"))
                .findFirst()
                .orElseThrow();
        boolean deaf = (Long.parseUnsignedLong(ignored.replaceAll("SigIgn:\\s+", ""), 16) & 0b10) != 0;
        if (deaf) {
            dev.process().destroy();
            return 143;
        }
        ProcessSignal.INT.send(dev.process().pid());
        return 130;
    }

    private void assertEndsInTime() throws InterruptedException {
        assertTrue(dev.process().waitFor(LIMIT_SECONDS, TimeUnit.SECONDS), "still running");
        Awaitility.await("end of every PostgreSQL process")
                .atMost(Duration.ofSeconds(5))
                .until(() -> PostgresProcesses.workingBelow(data).isEmpty());
    }

    private void assertGoesOn() throws Exception {
        dev = DevProcess.start(data);
        try (Connection connection = use();
                Statement statement = connection.createStatement()) {
            assertTrue(statement.executeQuery("SELECT FROM kept").next());
        }
    }

    @Test
    void givenAFrozenWriter_whenInterrupted_thenItEndsInOrderAndLeavesNoProcess() throws Exception {
        try (Connection connection = use()) {
            assertTrue(connection.isValid(LIMIT_SECONDS));
            String id = dev.api().database("demo", "app").path("id").asText();
            freeze(PostgresProcesses.ofDatabase(data, id));
            int status = interrupt();
            assertEndsInTime();
            assertEquals(status, dev.process().exitValue());
        }
        assertGoesOn();
    }

    @Test
    void givenAFrozenJournal_whenTerminated_thenItEndsAllTheSameAndLeavesNoProcess() throws Exception {
        try (Connection connection = use()) {
            assertTrue(connection.isValid(LIMIT_SECONDS));
            freeze(PostgresProcesses.workingIn(
                    data.resolve("postgres").resolve("journal").toRealPath()));
            dev.process().destroy();
            assertEndsInTime();
        }
        assertGoesOn();
    }
}
