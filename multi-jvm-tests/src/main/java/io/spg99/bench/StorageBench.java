package io.spg99.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.github.luben.zstd.Zstd;
import io.spg99.storage.object.LocalObjectStore;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.snapshot.Manifest;
import io.spg99.storage.snapshot.SnapshotFile;
import io.spg99.storage.snapshot.SnapshotReader;
import io.spg99.storage.snapshot.SnapshotStore;
import io.spg99.storage.wal.TimelineId;
import io.spg99.tests.process.DevProcess;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * How much object storage holds of a database after many random updates, beside what the same blocks take when they are
 * compressed once, as layers are.
 */
@Command(
        name = "storage",
        description =
                "Size of what object storage holds of a database after random updates, beside its live data compressed.",
        mixinStandardHelpOptions = true)
final class StorageBench extends Benchmark {

    private static final Duration SNAPSHOT_LIMIT = Duration.ofMinutes(10);
    private static final Duration RETENTION = Duration.ofSeconds(5);
    private static final int BLOCK = 8192;

    /** As in a layer. */
    private static final int GROUP = 8 * BLOCK;

    private static final int LEVEL = 1;

    /** Of the table: seven rows of 140 bytes to a kilobyte. */
    private static final int ROWS_PER_MEGABYTE = 7 * 1024;

    @Option(names = "--megabytes", defaultValue = "500", description = "Size of the table (default: ${DEFAULT-VALUE}).")
    private int megabytes;

    @Option(names = "--updates", defaultValue = "1000000", description = "Random updates (default: ${DEFAULT-VALUE}).")
    private int updates;

    @Option(
            names = "--batch",
            defaultValue = "10000",
            description = "Updates in one transaction (default: ${DEFAULT-VALUE}).")
    private int batch;

    @Override
    void measure(Path directory) throws Exception {
        System.out.println("starting the platform in " + directory);
        Map<String, String> environment = Map.of("SPG99_SNAPSHOT_RETENTION", RETENTION.toSeconds() + "s");
        try (DevProcess dev = DevProcess.start(directory.resolve("dev"), environment, "--idle-timeout", "never")) {
            measure(dev);
        }
    }

    private void measure(DevProcess dev) throws Exception {
        int rows = megabytes * ROWS_PER_MEGABYTE;
        System.out.println("filling");
        run(
                dev,
                "CREATE TABLE big (id int PRIMARY KEY, v text)",
                "INSERT INTO big SELECT i, md5(i::text) || md5((-i)::text) || repeat('x', 30)"
                        + " FROM generate_series(1, " + rows + ") i");
        stop(dev);
        report(dev, "filled");
        for (int done = 0; done < updates; done += batch) {
            run(
                    dev,
                    "UPDATE big SET v = md5(random()::text) || md5(random()::text) || repeat('y', 30) WHERE id IN"
                            + " (SELECT 1 + floor(random() * " + rows + ")::int FROM generate_series(1, "
                            + Math.min(batch, updates - done) + "))");
        }
        stop(dev);
        report(dev, "updated");
        // What was replaced is kept for a while, and goes then by itself.
        awaitOneSnapshot(dev);
        double ratio = report(dev, "merged");
        System.out.printf(
                "%d MB, %d updates: object storage holds %.2f times the compressed live data, WAL aside%n",
                megabytes, updates, ratio);
    }

    private static void run(DevProcess dev, String... statements) throws SQLException {
        try (Connection connection = DriverManager.getConnection(dev.jdbcUrl(), dev.user(), dev.password());
                Statement statement = connection.createStatement()) {
            for (String sql : statements) {
                statement.execute(sql);
            }
        }
    }

    private static void stop(DevProcess dev) {
        dev.api().stop(dev.get("tenant"), dev.get("database"));
        dev.api()
                .awaitDatabase(
                        dev.get("tenant"),
                        dev.get("database"),
                        SNAPSHOT_LIMIT,
                        json -> !json.path("snapshot_lsn").asText().isEmpty()
                                && json.path("snapshot_lsn").equals(json.path("wal_lsn")));
    }

    private static TimelineId timeline(DevProcess dev) {
        JsonNode database = dev.api().database(dev.get("tenant"), dev.get("database"));
        return new TimelineId(database.path("timeline_id").asText());
    }

    private static void awaitOneSnapshot(DevProcess dev) throws IOException, InterruptedException {
        ObjectStore objects = new LocalObjectStore(dev.data().resolve("objects"));
        String snapshots = "timelines/" + timeline(dev) + "/snapshots/";
        long limit = System.nanoTime() + RETENTION.multipliedBy(6).toNanos();
        while (objects.list(snapshots).size() > 1) {
            if (System.nanoTime() > limit) {
                throw new IllegalStateException("nothing was deleted that was replaced: " + objects.list(snapshots));
            }
            TimeUnit.MILLISECONDS.sleep(500);
        }
    }

    private static double report(DevProcess dev, String when) throws IOException {
        TimelineId timeline = timeline(dev);
        Path objects = dev.data().resolve("objects");
        Path held = objects.resolve("timelines").resolve(timeline.value());
        long wal = size(held.resolve("wal"));
        long rest = size(held) - wal;
        SnapshotStore store = new SnapshotStore(new LocalObjectStore(objects), timeline);
        Manifest newest = store.newest().orElseThrow();
        long live = compressed(store, newest, objects);
        System.out.printf(
                "%s: %.1f MB in all but WAL, %.1f MB of WAL, %.1f MB of live data compressed (%.1f MB), %d layers, ratio %.2f%n",
                when,
                megabytes(rest),
                megabytes(wal),
                megabytes(live),
                megabytes(newest.size()),
                newest.layers().size(),
                (double) rest / live);
        return (double) rest / live;
    }

    private static double megabytes(long bytes) {
        return bytes / (double) (1 << 20);
    }

    private static long size(Path directory) throws IOException {
        if (!Files.isDirectory(directory)) {
            return 0;
        }
        try (Stream<Path> files = Files.walk(directory)) {
            long sum = 0;
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                sum += Files.size(file);
            }
            return sum;
        }
    }

    /** What the blocks of a snapshot take that are in layers, if each file's are compressed in their order. */
    private static long compressed(SnapshotStore store, Manifest manifest, Path noImage) throws IOException {
        SnapshotReader reader = new SnapshotReader(store, manifest, noImage);
        Groups groups = new Groups();
        for (SnapshotFile file : manifest.files()) {
            for (SnapshotFile.Run run : file.runs()) {
                if (run.layer() >= 0) {
                    reader.read(file, run.first(), run.count(), (first, count, bytes, offset) -> {
                        for (int i = 0; i < count; i++) {
                            groups.add(bytes, offset + i * BLOCK);
                        }
                    });
                }
            }
            groups.end();
        }
        return groups.sum;
    }

    private static final class Groups {
        private final byte[] group = new byte[GROUP];
        private int length;
        private long sum;

        void add(byte[] bytes, int offset) {
            System.arraycopy(bytes, offset, group, length, BLOCK);
            length += BLOCK;
            if (length == GROUP) {
                end();
            }
        }

        void end() {
            if (length > 0) {
                sum += Zstd.compress(Arrays.copyOf(group, length), LEVEL).length;
                length = 0;
            }
        }
    }
}
