package io.spg99.bench;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.storage.wal.Lsn;
import io.spg99.tests.process.DevProcess;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * What the Pageserver costs a busy writer: pgbench's TPC-B through the Gateway on two platforms on one disk, one with snapshots and one
 * that makes none, interleaved; and how far the Pageserver lags behind the WAL.
 */
@Command(
        name = "redo",
        description = "Throughput of a writer with and without the Pageserver, and how far that lags.",
        mixinStandardHelpOptions = true)
final class RedoBench extends Benchmark {

    private static final Duration CATCH_UP_LIMIT = Duration.ofMinutes(10);

    @Option(names = "--rounds", defaultValue = "3", description = "Interleaved rounds (default: ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--seconds",
            defaultValue = "15",
            description = "Length of each run of pgbench (default: ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(names = "--scale", defaultValue = "20", description = "pgbench's scale (default: ${DEFAULT-VALUE}).")
    private int scale;

    @Option(names = "--clients", defaultValue = "16", description = "Clients of pgbench (default: ${DEFAULT-VALUE}).")
    private int clients;

    @Override
    void measure(Path directory) throws Exception {
        System.out.println("starting two platforms, with and without a Pageserver, in " + directory);
        try (DevProcess with = DevProcess.start(directory.resolve("with"));
                DevProcess without =
                        DevProcess.start(directory.resolve("without"), Map.of("SPG99_WAL_FOR_SNAPSHOT", "1 TiB"))) {
            measure(with, without);
        }
    }

    private void measure(DevProcess with, DevProcess without) throws Exception {
        PgBench served = new PgBench("with the Pageserver", CommitBench.gateway(with));
        PgBench alone = new PgBench("without", CommitBench.gateway(without));
        served.fill(scale);
        alone.fill(scale);
        double[] ratios = new double[rounds];
        List<Long> lags = new ArrayList<>();
        for (int round = 0; round <= rounds; round++) { // the first one warms up
            boolean servedFirst = round % 2 == 0;
            double first = run(servedFirst ? served : alone, servedFirst ? with : without, clients, seconds);
            double second = run(servedFirst ? alone : served, servedFirst ? without : with, clients, seconds);
            double ratio = servedFirst ? first / second : second / first;
            long lag = lag(with);
            System.out.printf(
                    "round %d: with %.0f tps, without %.0f tps, ratio %.3f, lag %.1f MB%s%n",
                    round,
                    servedFirst ? first : second,
                    servedFirst ? second : first,
                    ratio,
                    lag / (double) (1 << 20),
                    round == 0 ? " (warm-up)" : "");
            if (round > 0) {
                ratios[round - 1] = ratio;
                lags.add(lag);
            }
        }
        Arrays.sort(ratios);
        System.out.printf(
                "%d clients, scale %d, %d rounds of %d s: median ratio %.3f, largest lag at the end of a round %.1f MB%n",
                clients,
                scale,
                rounds,
                seconds,
                ratios[rounds / 2],
                lags.stream().mapToLong(Long::longValue).max().orElse(0) / (double) (1 << 20));
        with.api().stop(with.get("tenant"), with.get("database"));
        long began = System.nanoTime();
        with.api()
                .awaitDatabase(
                        with.get("tenant"),
                        with.get("database"),
                        CATCH_UP_LIMIT,
                        json -> json.path("snapshot_lsn").equals(json.path("wal_lsn")));
        System.out.printf("after the stop, the snapshot of all of it took %.1f s%n", (System.nanoTime() - began) / 1e9);
    }

    private static double run(PgBench bench, DevProcess dev, int clients, int seconds) throws Exception {
        // A connection that stays keeps the database awake between the runs.
        try (Connection awake = CommitBench.connect(dev);
                Statement statement = awake.createStatement()) {
            statement.execute("SELECT 1");
            return bench.run(clients, Duration.ofSeconds(seconds), List.of("--protocol=simple"))
                    .tps();
        }
    }

    /** Bytes of WAL beyond the newest snapshot. */
    private static long lag(DevProcess dev) {
        JsonNode database = dev.api().database(dev.get("tenant"), dev.get("database"));
        String snapshot = database.path("snapshot_lsn").asText();
        String wal = database.path("wal_lsn").asText();
        return snapshot.isEmpty() || wal.isEmpty() ? 0 : Lsn.parse(wal).minus(Lsn.parse(snapshot));
    }
}
