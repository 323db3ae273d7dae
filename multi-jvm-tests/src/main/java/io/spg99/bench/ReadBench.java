package io.spg99.bench;

import io.spg99.storage.readthrough.BlockSource;
import io.spg99.storage.readthrough.ReadThrough;
import io.spg99.storage.readthrough.ReadThroughLibrary;
import io.spg99.storage.readthrough.ReadThroughSettings;
import io.spg99.storage.readthrough.RelationFile;
import io.spg99.tests.process.LocalPostgres;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * What read-through costs: a cold sequential scan beside reading the same blocks straight from the store, cold random reads of
 * one row, and pgbench select-only with everything local beside stock PostgreSQL. The store is a directory on the same disk.
 */
@Command(
        name = "read",
        description = "Cold scans and point reads through the cache, and select-only beside stock PostgreSQL.",
        mixinStandardHelpOptions = true)
final class ReadBench extends Benchmark {

    private static final int ROWS_PER_SCALE = 100_000;
    private static final int POINT_READS = 300;

    /** Statements that warm the catalog caches and the upper pages of the index. */
    private static final int FIRST_READS = 50;

    private static final Duration HYDRATION_LIMIT = Duration.ofMinutes(10);

    @Option(names = "--scale", defaultValue = "70", description = "pgbench's scale (default: ${DEFAULT-VALUE}).")
    private int scale;

    @Option(names = "--rounds", defaultValue = "5", description = "Interleaved rounds (default: ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--seconds",
            defaultValue = "5",
            description = "Length of each run of pgbench (default: ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(names = "--clients", defaultValue = "8", description = "Clients of pgbench (default: ${DEFAULT-VALUE}).")
    private int clients;

    @Override
    void measure(Path directory) throws Exception {
        Path libraries = Files.createDirectory(
                directory.resolve("lib"),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x")));
        ReadThroughLibrary library = ReadThroughLibrary.install(libraries)
                .orElseThrow(() -> new IOException("the read-through library was not built: is there a C compiler?"));
        try (LocalPostgres stock = LocalPostgres.create(directory.resolve("stock"))) {
            stock.set("shared_buffers", "32MB");
            stock.start();
            new PgBench("stock", CommitBench.local(stock)).fill(scale);
            stock.stop();
            try (Cache cache = new Cache(stock, library, directory.resolve("scan"))) {
                scan(stock, cache);
            }
            try (Cache cache = new Cache(stock, library, directory.resolve("point"))) {
                points(cache);
                cache.agent.hydrate().toCompletableFuture().get(HYDRATION_LIMIT.toSeconds(), TimeUnit.SECONDS);
                stock.start();
                selectOnly(stock, cache.server);
            }
        }
    }

    /** A server over the files of another one that is stopped. */
    private static final class Cache implements AutoCloseable {
        final ReadThrough agent;
        final LocalPostgres server;

        Cache(LocalPostgres original, ReadThroughLibrary library, Path directory) throws IOException {
            Path shared = directory.resolveSibling(directory.getFileName() + "-map");
            SortedMap<RelationFile, Integer> sizes = new TreeMap<>();
            server = original.withoutRelations(directory, library.environment(shared), sizes);
            server.set("shared_buffers", "32MB");
            ReadThrough.prepare(shared, server.user(), sizes, ReadThroughSettings.DEFAULT);
            agent = ReadThrough.open(
                    server.data(), shared, server.user(), source(original.data()), ReadThroughSettings.DEFAULT);
            server.start();
        }

        @Override
        public void close() throws IOException {
            server.close();
            agent.close();
        }
    }

    private static BlockSource source(Path data) {
        return (file, first, count) -> CompletableFuture.supplyAsync(() -> {
            try {
                return read(data.resolve(file.path()), first, count);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }

    private static ByteBuffer read(Path file, int first, int count) throws IOException {
        ByteBuffer blocks = ByteBuffer.allocate(count * RelationFile.BLOCK);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            while (blocks.hasRemaining()) {
                if (channel.read(blocks, (long) first * RelationFile.BLOCK + blocks.position()) < 0) {
                    throw new IOException("file is too short: file=" + file);
                }
            }
        }
        return blocks.flip();
    }

    private static void scan(LocalPostgres stock, Cache cache) throws IOException, SQLException {
        try (Connection connection = cache.server.connect();
                Statement statement = connection.createStatement()) {
            Path file;
            int blocks;
            try (ResultSet row = statement.executeQuery("SELECT pg_relation_filepath('pgbench_accounts'),"
                    + " least(pg_relation_size('pgbench_accounts'), 1024 * 1024 * 1024) / 8192")) {
                row.next();
                file = stock.data().resolve(row.getString(1));
                blocks = row.getInt(2);
            }
            double mb = blocks * (double) RelationFile.BLOCK / (1 << 20);
            double straight = 0;
            for (int round = 0; round < 2; round++) { // the first one warms up the page cache, as the fill did for both
                long start = System.nanoTime();
                for (int first = 0; first < blocks; first += ReadThrough.MOST_BLOCKS) {
                    read(file, first, Math.min(ReadThrough.MOST_BLOCKS, blocks - first));
                }
                straight = mb / seconds(start);
            }
            statement.execute("SET max_parallel_workers_per_gather = 0");
            double cold = mb / timeOf(statement);
            double local = mb / timeOf(statement);
            System.out.printf(
                    "sequential scan of %.0f MB: straight from the store %.0f MB/s, cold %.0f MB/s (%.2f), local %.0f MB/s%n",
                    mb, straight, cold, cold / straight, local);
        }
    }

    private static double timeOf(Statement statement) throws SQLException {
        long start = System.nanoTime();
        statement.execute("SELECT count(*) FROM pgbench_accounts");
        return seconds(start);
    }

    private static double seconds(long startNanos) {
        return (System.nanoTime() - startNanos) / 1e9;
    }

    private void points(Cache cache) throws SQLException {
        Random random = new Random(99);
        Samples cold = new Samples();
        try (Connection connection = cache.server.connect();
                PreparedStatement select =
                        connection.prepareStatement("SELECT abalance FROM pgbench_accounts WHERE aid = ?")) {
            for (int i = 0; i < FIRST_READS + POINT_READS; i++) {
                select.setInt(1, 1 + random.nextInt(scale * ROWS_PER_SCALE));
                long start = System.nanoTime();
                select.executeQuery().close();
                if (i >= FIRST_READS) {
                    cold.add(Duration.ofNanos(System.nanoTime() - start));
                }
            }
        }
        System.out.printf(
                "cold random read of one row: median %.2f ms, p99 %.2f ms%n",
                cold.medianMillis(), cold.percentileMillis(99));
    }

    private void selectOnly(LocalPostgres stock, LocalPostgres through) throws IOException {
        PgBench local = new PgBench("stock", CommitBench.local(stock));
        PgBench cached = new PgBench("read-through, all local", CommitBench.local(through));
        double[] ratios = new double[rounds];
        for (int round = 0; round <= rounds; round++) {
            List<String> options = List.of("--select-only", "--protocol=prepared");
            Duration length = Duration.ofSeconds(seconds);
            // Who is first changes: what else the machine does should not always hit the same one.
            boolean stockFirst = round % 2 == 0;
            double first =
                    (stockFirst ? local : cached).run(clients, length, options).tps();
            double second =
                    (stockFirst ? cached : local).run(clients, length, options).tps();
            double ratio = stockFirst ? second / first : first / second;
            System.out.printf(
                    "select-only, %d clients, round %d: %s %.0f tps, %s %.0f tps, ratio %.3f%s%n",
                    clients,
                    round,
                    local.name(),
                    stockFirst ? first : second,
                    cached.name(),
                    stockFirst ? second : first,
                    ratio,
                    round == 0 ? " (warm-up)" : "");
            if (round > 0) {
                ratios[round - 1] = ratio;
            }
        }
        Arrays.sort(ratios);
        System.out.printf("select-only: median ratio %.3f%n", ratios[rounds / 2]);
    }
}
