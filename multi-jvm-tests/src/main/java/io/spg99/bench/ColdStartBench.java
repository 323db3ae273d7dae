package io.spg99.bench;

import io.spg99.tests.process.ApiClient;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.LocalPostgres;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * From "connect" on a stopped database to the first row, through the Gateway with TLS and SCRAM; beside it, the same
 * PostgreSQL started on an existing local directory and asked the same with the same driver, the server's own "ready to
 * accept connections" taken as the moment to connect (no polling, no TLS): the fastest start a local server can have.
 */
@Command(
        name = "cold-start",
        description = "Time from connect on a stopped database to the first row, beside a local start of PostgreSQL.",
        mixinStandardHelpOptions = true)
final class ColdStartBench implements Runnable {

    private static final String QUERY = "SELECT count(*) FROM small";
    private static final Pattern PHASE =
            Pattern.compile("(?m)^spg99_cold_start_seconds_(sum|count)\\{[^}]*phase=\"([^\"]+)\"[^}]*} (\\S+)$");

    @Option(names = "--rounds", defaultValue = "30", description = "Measured rounds (default: ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--warm-up",
            defaultValue = "8",
            description = "Rounds before that, not counted (default: ${DEFAULT-VALUE}).")
    private int warmUp;

    @Option(
            names = "--pause",
            defaultValue = "2000",
            description =
                    "Milliseconds between rounds (default: ${DEFAULT-VALUE}): a database sleeps for a while before"
                            + " it is woken, and the disk gets done with what the last round wrote.")
    private int pauseMillis;

    @Override
    public void run() {
        try {
            Path directory = DevProcess.temporaryDirectory();
            System.out.println("starting the platform and a local PostgreSQL in " + directory);
            try (DevProcess dev = DevProcess.start(directory.resolve("dev"));
                    LocalPostgres local = LocalPostgres.create(directory.resolve("local"))) {
                measure(dev, local);
            } finally {
                LocalPostgres.deleteTree(directory);
            }
        } catch (Exception e) {
            throw new IllegalStateException("the benchmark failed: " + e, e);
        }
    }

    private void measure(DevProcess dev, LocalPostgres local) throws Exception {
        Properties ours = new Properties();
        ours.setProperty("user", dev.user());
        ours.setProperty("password", dev.password());
        try (Connection connection = DriverManager.getConnection(dev.jdbcUrl(), ours)) {
            fill(connection);
        }
        local.start();
        try (Connection connection = local.connect()) {
            fill(connection);
        }
        local.stop();

        Samples throughGateway = new Samples();
        Samples fromDirectory = new Samples();
        Map<String, double[]> before = Map.of();
        for (int round = -warmUp; round < rounds; round++) {
            if (round == 0) {
                before = phases(dev.api());
            }
            dev.api().stop(dev.get("tenant"), dev.get("database"));
            TimeUnit.MILLISECONDS.sleep(pauseMillis);
            Duration wake = timed(() -> ask(DriverManager.getConnection(dev.jdbcUrl(), ours)));
            Duration start = timed(() -> {
                local.start();
                ask(local.connect());
            });
            local.stop();
            if (round >= 0) {
                throughGateway.add(wake);
                fromDirectory.add(start);
            }
            System.out.printf(
                    "round %3d  spg99 %7.1f ms  local %7.1f ms%s%n",
                    round, wake.toNanos() / 1e6, start.toNanos() / 1e6, round < 0 ? "  (warm-up)" : "");
        }
        report(throughGateway, fromDirectory, before, phases(dev.api()));
    }

    private void report(Samples ours, Samples local, Map<String, double[]> before, Map<String, double[]> after) {
        System.out.printf("%nconnect to first row, %d interleaved rounds%n", rounds);
        System.out.printf("%-34s %10s %10s%n", "", "median ms", "p99 ms");
        System.out.printf(
                "%-34s %10.1f %10.1f%n", "spg99, stopped database", ours.medianMillis(), ours.percentileMillis(99));
        System.out.printf(
                "%-34s %10.1f %10.1f%n",
                "PostgreSQL, local directory", local.medianMillis(), local.percentileMillis(99));
        System.out.printf("ratio of the medians: %.2f%n", ours.medianMillis() / local.medianMillis());
        System.out.printf("%nwhere our time goes, mean ms (phases overlap; see docs/COLD-START.md)%n");
        after.forEach((phase, now) -> {
            double[] then = before.getOrDefault(phase, new double[2]);
            if (now[1] > then[1]) {
                System.out.printf("  %-14s %8.1f%n", phase, (now[0] - then[0]) / (now[1] - then[1]) * 1e3);
            }
        });
    }

    /** Sum of seconds and count by phase, as the metrics have them. */
    private static Map<String, double[]> phases(ApiClient api) {
        Map<String, double[]> phases = new LinkedHashMap<>();
        Matcher line = PHASE.matcher(api.text("/metrics"));
        while (line.find()) {
            double[] sums = phases.computeIfAbsent(line.group(2), phase -> new double[2]);
            sums[line.group(1).equals("sum") ? 0 : 1] = Double.parseDouble(line.group(3));
        }
        return phases;
    }

    private static void fill(Connection connection) throws SQLException {
        try (connection;
                Statement statement = connection.createStatement()) {
            statement.execute(
                    "CREATE TABLE small AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 1000) g");
        }
    }

    private static void ask(Connection connection) throws SQLException {
        try (connection;
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(QUERY)) {
            if (!rows.next() || rows.getInt(1) != 1000) {
                throw new SQLException("wrong answer");
            }
        }
    }

    private interface Action {
        void run() throws Exception;
    }

    private static Duration timed(Action action) throws Exception {
        long begin = System.nanoTime();
        action.run();
        return Duration.ofNanos(System.nanoTime() - begin);
    }
}
