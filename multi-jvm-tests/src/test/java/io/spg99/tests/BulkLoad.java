package io.spg99.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.WriterAgent;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;

/**
 * One transaction that writes more WAL than the writer would keep of itself, faster than the Safekeepers sync it. Its size
 * in MB is the system property {@code spg99.bulk-load-mb}.
 */
final class BulkLoad {

    private static final int MEGABYTES = Integer.getInteger("spg99.bulk-load-mb", 300);

    private static final long ROWS = MEGABYTES * 1000L;

    /** What may be left: wal_keep_size, one step of the slot, and some segments. */
    private static final long LEFT_MEGABYTES = 128 + 64 + 32;

    private final DevProcess dev;
    private final WriterAgent writer;
    private long mostMegabytes;

    /** Of the demo database, which must be awake. */
    BulkLoad(DevProcess dev) throws Exception {
        this.dev = dev;
        this.writer = WriterAgent.ofDemo(dev);
    }

    WriterAgent writer() {
        return writer;
    }

    static long number(DevProcess dev, String query) throws SQLException {
        try (Connection connection = DriverManager.getConnection(dev.jdbcUrl(), dev.user(), dev.password());
                Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(query)) {
            assertTrue(row.next());
            return row.getLong(1);
        }
    }

    /** Loads, with checkpoints all the while: each removes whatever WAL is not held back. */
    void run() throws Exception {
        long before = written();
        CompletableFuture<Void> load = start();
        Awaitility.await("the load commits")
                .atMost(Duration.ofSeconds(60 + MEGABYTES / 10))
                .pollInterval(Duration.ofMillis(500))
                .until(() -> {
                    writer.checkpoint();
                    mostMegabytes = Math.max(mostMegabytes, writer.walMegabytes());
                    return load.isDone();
                });
        load.get(1, TimeUnit.SECONDS);
        assertTrue(written() - before >= MEGABYTES * 1_000_000L, "written=" + (written() - before));
    }

    /** Begins to load, and returns when most of the WAL is written and what is not held back of it is gone. */
    CompletableFuture<Void> runAhead() throws Exception {
        long enough = written() + MEGABYTES * 750_000L;
        CompletableFuture<Void> load = start();
        Awaitility.await("WAL is written and removed")
                .atMost(Duration.ofMinutes(1))
                .pollInterval(Duration.ofMillis(500))
                .until(() -> {
                    writer.checkpoint();
                    return written() > enough && writer.walMegabytes() <= LEFT_MEGABYTES;
                });
        return load;
    }

    private CompletableFuture<Void> start() {
        // Not on the common pool, which may have one thread only.
        return CompletableFuture.runAsync(
                this::load, load -> Thread.ofPlatform().daemon().name("load").start(load));
    }

    private long written() throws Exception {
        return writer.number("SELECT pg_current_wal_lsn() - '0/0'");
    }

    private void load() {
        try (Connection connection = DriverManager.getConnection(dev.jdbcUrl(), dev.user(), dev.password());
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE loaded AS SELECT g AS id, repeat(md5(g::text), 30) AS filler"
                    + " FROM generate_series(1, " + ROWS + ") g");
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    void awaitWalRemoved() {
        Awaitility.await("WAL that two Safekeepers have is removed")
                .atMost(Duration.ofSeconds(20))
                .pollInterval(Duration.ofMillis(500))
                .untilAsserted(() -> {
                    writer.checkpoint();
                    long left = writer.walMegabytes();
                    assertTrue(left <= LEFT_MEGABYTES, "left=%d most=%d MB".formatted(left, mostMegabytes));
                });
    }

    /** Wakes the database if it sleeps, and looks at every row. */
    void verify() throws SQLException {
        assertEquals(ROWS, number(dev, "SELECT count(*) FROM loaded WHERE filler = repeat(md5(id::text), 30)"));
        assertEquals(ROWS * (ROWS + 1) / 2, number(dev, "SELECT sum(id) FROM loaded"));
    }
}
