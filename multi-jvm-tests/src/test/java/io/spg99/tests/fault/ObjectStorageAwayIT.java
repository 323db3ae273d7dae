package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.storage.file.FileTree;
import io.spg99.tests.ledger.Ledger;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.WriterAgent;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

/** No snapshot can be made: Safekeepers hold what they may, then commits wait, and say for what. */
class ObjectStorageAwayIT {

    private static final int CLIENTS = 4;
    private static final long MAX_WAL = 40L << 20;

    /** Rows of one transaction, some 4 MB of WAL. */
    private static final int BATCH = 15_000;

    private static final Duration SOON = Duration.ofSeconds(60);

    /** Transaction after transaction, until it is told to stop. */
    private record Load(DevProcess dev, AtomicInteger batches, AtomicBoolean over) {

        CompletableFuture<Void> start(WriterAgent agent) {
            return CompletableFuture.runAsync(() -> {
                try (Connection connection = connect();
                        Statement statement = connection.createStatement()) {
                    while (!over.get()) {
                        statement.execute(
                                "INSERT INTO load SELECT g, repeat('x', 200) FROM generate_series(1, " + BATCH + ") g");
                        batches.incrementAndGet();
                        agent.checkpoint();
                    }
                } catch (IOException | SQLException e) {
                    throw new IllegalStateException(e);
                }
            });
        }

        Connection connect() throws SQLException {
            return DriverManager.getConnection(dev.jdbcUrl(), dev.user(), dev.password());
        }

        long rows() throws SQLException {
            try (Connection connection = connect();
                    Statement statement = connection.createStatement();
                    ResultSet row = statement.executeQuery("SELECT count(*) FROM load")) {
                row.next();
                return row.getLong(1);
            }
        }
    }

    private static JsonNode describe(DevProcess dev) {
        return dev.api().database(dev.get("tenant"), dev.get("database"));
    }

    private static boolean commitsWait(DevProcess dev) {
        return describe(dev).path("last_error").asText().contains("commits wait");
    }

    private static long bytes(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.mapToLong(file -> file.toFile().length()).sum();
        }
    }

    @Test
    void givenObjectStorageAway_whenSafekeepersHoldAllTheyMay_thenCommitsWaitWithTheReasonUntilItIsBack()
            throws Exception {
        Path directory = DevProcess.temporaryDirectory();
        Path data = directory.resolve("data");
        try (DevProcess dev = DevProcess.start(data, "-Dspg99.safekeeper.max-wal=" + MAX_WAL)) {
            Load load = new Load(dev, new AtomicInteger(), new AtomicBoolean());
            try (Connection connection = load.connect();
                    Statement statement = connection.createStatement()) {
                statement.execute("CREATE TABLE load (id int, filler text)");
            }
            try (Ledger ledger = new Ledger(dev.jdbcUrl(), dev.user(), dev.password())) {
                ledger.createTable();
                ledger.start(CLIENTS);
                ledger.awaitProgress(50);

                Path objects = data.resolve("objects");
                Path away = data.resolve("objects.away");
                Files.move(objects, away);
                Files.createFile(objects);
                ledger.awaitProgress(50);
                CompletableFuture<Void> loading = load.start(WriterAgent.ofDemo(dev));
                Awaitility.await("commits wait, for a reason that is shown")
                        .atMost(SOON)
                        .until(() -> commitsWait(dev) || loading.isCompletedExceptionally());
                int acknowledged = ledger.acknowledged();
                Awaitility.await("none is acknowledged")
                        .during(Duration.ofSeconds(2))
                        .atMost(Duration.ofSeconds(3))
                        .until(() -> ledger.acknowledged() <= acknowledged + CLIENTS && commitsWait(dev));
                for (String safekeeper : Platform.SAFEKEEPERS) {
                    long held = bytes(data.resolve("safekeepers")
                            .resolve(safekeeper)
                            .resolve("timelines")
                            .resolve(describe(dev).path("timeline_id").asText()));
                    assertTrue(held > MAX_WAL - (8 << 20) && held < MAX_WAL + (24 << 20), "held=" + held);
                }

                load.over().set(true);
                Files.delete(objects);
                Files.move(away, objects);
                ledger.awaitProgress(100);
                loading.get(SOON.toSeconds(), TimeUnit.SECONDS);
                Awaitility.await("the reason is gone").atMost(SOON).until(() -> !commitsWait(dev));
                ledger.stop();
                ledger.verify();
            }
            assertEquals((long) load.batches().get() * BATCH, load.rows());
            dev.api().stop(dev.get("tenant"), dev.get("database"));
            assertEquals((long) load.batches().get() * BATCH, load.rows());
        } finally {
            FileTree.delete(directory);
        }
    }
}
