package io.spg99.bench;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.storage.file.FileTree;
import io.spg99.storage.wal.Lsn;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.PostgresProcesses;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * How long a database is away when its writer crashes under load: from SIGKILL of the postmaster to the first commit of the next
 * generation, of a client that connects through the Gateway until it succeeds.
 */
@Command(
        name = "crash",
        description = "Time from the crash of a busy writer to the first new commit through the Gateway.",
        mixinStandardHelpOptions = true)
final class CrashBench extends Benchmark {

    private static final Duration HEAL_LIMIT = Duration.ofMinutes(5);

    @Option(names = "--rounds", defaultValue = "7", description = "Crashes (default: ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--seconds",
            defaultValue = "20",
            description = "Load of pgbench before each crash (default: ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(names = "--scale", defaultValue = "50", description = "pgbench's scale (default: ${DEFAULT-VALUE}).")
    private int scale;

    @Option(names = "--clients", defaultValue = "16", description = "Clients of pgbench (default: ${DEFAULT-VALUE}).")
    private int clients;

    @Override
    void measure(Path directory) throws Exception {
        System.out.println("starting the platform in " + directory);
        try (DevProcess dev = DevProcess.start(directory.resolve("dev"), "--idle-timeout", "never")) {
            measure(dev, directory);
        }
    }

    private void measure(DevProcess dev, Path directory) throws Exception {
        PgBench bench = new PgBench("spg99", CommitBench.gateway(dev));
        System.out.println("filling");
        bench.fill(scale);
        commit(dev, "CREATE TABLE healed (generation int)");
        Samples healed = new Samples();
        for (int round = 0; round < rounds; round++) {
            Path logs = Files.createDirectory(directory.resolve("logs"));
            CompletableFuture<Void> load = CompletableFuture.runAsync(() -> underLoad(bench, logs));
            TimeUnit.SECONDS.sleep(seconds);
            JsonNode before = database(dev);
            int generation = before.path("generation").asInt();
            Map<String, double[]> then = ColdStartBench.phases(dev.api());
            long postmaster =
                    PostgresProcesses.postmaster(dev.data(), before.path("id").asText());
            ProcessHandle.of(postmaster).orElseThrow().destroyForcibly();
            Duration took = heal(dev, generation);
            healed.add(took);
            System.out.printf(
                    "round %d: generation %d healed in %.0f ms, %.1f MB of WAL beyond the snapshot;%s%n",
                    round,
                    generation,
                    took.toNanos() / 1e6,
                    lag(before) / (double) (1 << 20),
                    phases(then, ColdStartBench.phases(dev.api())));
            load.get(HEAL_LIMIT.toSeconds(), TimeUnit.SECONDS);
            FileTree.delete(logs);
        }
        System.out.printf(
                "%d clients, scale %d, %d crashes after %d s of load: median %.0f ms, longest %.0f ms%n",
                clients, scale, rounds, seconds, healed.medianMillis(), healed.percentileMillis(100));
    }

    /** Clients whose transactions are lost leave; pgbench ends with them. */
    private void underLoad(PgBench bench, Path logs) {
        try {
            bench.log(clients, Duration.ofSeconds(seconds + 5L), List.of("--protocol=prepared"), logs);
        } catch (IOException e) {
            String[] words = String.valueOf(e.getMessage()).split("\n", 2);
            System.out.println("pgbench has lost its clients, as it should: " + words[0]);
        }
    }

    private static Duration heal(DevProcess dev, int generation) throws InterruptedException {
        long began = System.nanoTime();
        while (true) {
            try {
                commit(
                        dev,
                        "INSERT INTO healed SELECT generation / (generation > " + generation
                                + ")::int FROM spg99.status");
                return Duration.ofNanos(System.nanoTime() - began);
            } catch (SQLException e) {
                if (System.nanoTime() - began > HEAL_LIMIT.toNanos()) {
                    throw new IllegalStateException("it does not come back: limit=" + HEAL_LIMIT, e);
                }
                TimeUnit.MILLISECONDS.sleep(5);
            }
        }
    }

    private static void commit(DevProcess dev, String sql) throws SQLException {
        try (Connection connection = DriverManager.getConnection(dev.jdbcUrl(), dev.user(), dev.password());
                Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static JsonNode database(DevProcess dev) {
        return dev.api().database(dev.get("tenant"), dev.get("database"));
    }

    /** Bytes of WAL beyond the newest snapshot. */
    private static long lag(JsonNode database) {
        String snapshot = database.path("snapshot_lsn").asText();
        String wal = database.path("wal_lsn").asText();
        return snapshot.isEmpty() || wal.isEmpty() ? 0 : Lsn.parse(wal).minus(Lsn.parse(snapshot));
    }

    private static String phases(Map<String, double[]> then, Map<String, double[]> now) {
        StringBuilder text = new StringBuilder();
        new TreeMap<>(now).forEach((phase, sums) -> {
            double seconds = sums[0] - then.getOrDefault(phase, new double[2])[0];
            text.append(" %s=%.0f".formatted(phase, seconds * 1e3));
        });
        return text.toString();
    }
}
