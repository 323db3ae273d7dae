package io.spg99.bench;

import io.spg99.storage.postgres.Programs;
import io.spg99.tests.process.ApiClient;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.LocalPostgres;
import io.spg99.tests.process.PostgresProcesses;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
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
final class ColdStartBench extends Benchmark {

    private static final String QUERY = "SELECT count(*) FROM small";
    private static final Pattern PHASE =
            Pattern.compile("(?m)^spg99_cold_start_seconds_(sum|count)\\{[^}]*phase=\"([^\"]+)\"[^}]*} (\\S+)$");

    /** Megabytes in one transaction. */
    private static final int FILL_STEP = 64;

    /** Enough for the server that waits for the next start to be there. */
    private static final long WARM_UP_PAUSE_MILLIS = 1100;

    private static final Duration STOP_LIMIT = Duration.ofSeconds(30);
    private static final Duration SNAPSHOT_LIMIT = Duration.ofMinutes(10);

    @Option(
            names = "--sizes",
            defaultValue = "0,10",
            split = ",",
            description =
                    "Sizes of databases in MB, measured side by side (default: ${DEFAULT-VALUE}). A gigabyte takes some"
                            + " minutes to fill, and 8 GB of disk.")
    private List<Integer> sizes;

    @Option(names = "--rounds", defaultValue = "20", description = "Measured rounds (default: ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--warm-up",
            defaultValue = "60",
            description =
                    "Rounds before that, not counted (default: ${DEFAULT-VALUE}): in its first wakes a platform's JVM still"
                            + " compiles, and so does the driver's.")
    private int warmUp;

    @Option(
            names = "--pause",
            defaultValue = "1000",
            description =
                    "Milliseconds between the snapshot of the last stop and a measured wake (default: ${DEFAULT-VALUE}): a"
                            + " database sleeps for a while before it is woken, and the disk gets done with what was written.")
    private int pauseMillis;

    @Override
    void measure(Path directory) throws Exception {
        System.out.println("starting the platform and a local PostgreSQL in " + directory);
        try (DevProcess dev = DevProcess.start(directory.resolve("dev"));
                LocalPostgres local = LocalPostgres.create(directory.resolve("local"))) {
            measure(dev, local);
        }
    }

    private void measure(DevProcess dev, LocalPostgres local) throws Exception {
        List<Sleeper> databases = new ArrayList<>();
        for (int size : sizes) {
            Sleeper database = new Sleeper(dev, size);
            database.create();
            databases.add(database);
        }
        local.start();
        try (Connection connection = local.connect()) {
            fill(connection, sizes.getFirst());
        }
        local.stop();

        Samples fromDirectory = new Samples();
        Map<String, double[]> before = Map.of();
        for (int round = -warmUp; round < rounds; round++) {
            if (round == 0) {
                before = phases(dev.api());
            }
            System.out.printf("round %3d", round);
            for (Sleeper database : databases) {
                if (round >= 0) {
                    databases.forEach(Sleeper::awaitSnapshot);
                }
                TimeUnit.MILLISECONDS.sleep(round < 0 ? Math.min(pauseMillis, WARM_UP_PAUSE_MILLIS) : pauseMillis);
                Duration wake = timed(() -> ask(database.connect()));
                if (round == rounds - 1) {
                    database.measureDisk();
                }
                if (round >= 0) {
                    database.wakes.add(wake);
                }
                System.out.printf("  spg99, %d MB %7.1f ms", database.megabytes, wake.toNanos() / 1e6);
                database.stop();
            }
            Duration start = timed(() -> {
                local.start();
                ask(local.connect());
            });
            local.stop();
            if (round >= 0) {
                fromDirectory.add(start);
            }
            System.out.printf("  local %7.1f ms%s%n", start.toNanos() / 1e6, round < 0 ? "  (warm-up)" : "");
        }
        report(databases, fromDirectory, before, phases(dev.api()));
    }

    /** A database that is stopped, with a table of a size and a small one. */
    private static final class Sleeper {
        private final DevProcess dev;
        private final int megabytes;
        private final String name;
        private final Samples wakes = new Samples();
        private long disk;

        Sleeper(DevProcess dev, int megabytes) {
            this.dev = dev;
            this.megabytes = megabytes;
            this.name = "mb_" + megabytes;
        }

        Connection connect() throws SQLException {
            Properties properties = new Properties();
            properties.setProperty("user", dev.user());
            properties.setProperty("password", dev.password());
            return DriverManager.getConnection(dev.jdbcUrl(name), properties);
        }

        void create() throws SQLException {
            ApiClient.Answer made = dev.api()
                    .post("/v2/tenants/" + dev.get("tenant") + "/dbs", "{\"name\":\"" + name + "\",\"size\":\"L1\"}");
            if (made.status() != 201) {
                throw new IllegalStateException("no database: " + made);
            }
            dev.api()
                    .awaitDatabase(
                            dev.get("tenant"),
                            name,
                            STOP_LIMIT,
                            json -> json.path("state").asText().equals("stopped"));
            System.out.println("filling a database of " + megabytes + " MB");
            try (Connection connection = connect()) {
                fill(connection, megabytes);
            }
            stop();
            System.out.println("waiting for its snapshot");
            awaitSnapshot();
        }

        /** Asleep for a while: what it has written is in a snapshot. */
        void awaitSnapshot() {
            dev.api()
                    .awaitDatabase(
                            dev.get("tenant"),
                            name,
                            SNAPSHOT_LIMIT,
                            json -> !json.path("snapshot_lsn").asText().isEmpty()
                                    && json.path("snapshot_lsn").equals(json.path("wal_lsn")));
        }

        void stop() {
            dev.api().stop(dev.get("tenant"), name);
        }

        /** What its data directory takes right after the start. */
        void measureDisk() throws Exception {
            try (Connection connection = connect();
                    Statement statement = connection.createStatement();
                    ResultSet row = statement.executeQuery("SELECT pg_backend_pid()")) {
                row.next();
                Path directory = PostgresProcesses.workingDirectory(row.getLong(1));
                String kilobytes = Programs.run(
                        List.of("du", "-sk", directory.toString()), Map.of("PATH", "/usr/bin:/bin"), "", STOP_LIMIT);
                disk = Long.parseLong(kilobytes.split("\\s", 2)[0]) * 1024;
            }
        }
    }

    private void report(
            List<Sleeper> databases, Samples local, Map<String, double[]> before, Map<String, double[]> after) {
        System.out.printf("%nconnect to first row, %d interleaved rounds%n", rounds);
        System.out.printf("%-34s %10s %10s %8s %14s%n", "", "median ms", "p99 ms", "ratio", "local disk MB");
        for (Sleeper database : databases) {
            System.out.printf(
                    "%-34s %10.1f %10.1f %8.2f %14.1f%n",
                    "spg99, stopped database, %d MB".formatted(database.megabytes),
                    database.wakes.medianMillis(),
                    database.wakes.percentileMillis(99),
                    database.wakes.medianMillis() / local.medianMillis(),
                    database.disk / (double) (1 << 20));
        }
        System.out.printf(
                "%-34s %10.1f %10.1f %8.2f%n",
                "PostgreSQL, local directory", local.medianMillis(), local.percentileMillis(99), 1.0);
        System.out.printf(
                "ratio of the medians: %.2f%n", databases.getFirst().wakes.medianMillis() / local.medianMillis());
        System.out.printf("%nwhere our time goes, mean ms (phases overlap; see docs/COLD-START.md)%n");
        after.forEach((phase, now) -> {
            double[] then = before.getOrDefault(phase, new double[2]);
            if (now[1] > then[1]) {
                System.out.printf("  %-14s %8.1f%n", phase, (now[0] - then[0]) / (now[1] - then[1]) * 1e3);
            }
        });
    }

    /** Sum of seconds and count by phase, as the metrics have them. */
    static Map<String, double[]> phases(ApiClient api) {
        Map<String, double[]> phases = new LinkedHashMap<>();
        Matcher line = PHASE.matcher(api.text("/metrics"));
        while (line.find()) {
            double[] sums = phases.computeIfAbsent(line.group(2), phase -> new double[2]);
            sums[line.group(1).equals("sum") ? 0 : 1] = Double.parseDouble(line.group(3));
        }
        return phases;
    }

    private static void fill(Connection connection, int megabytes) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(
                    "CREATE TABLE small AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 1000) g");
            statement.execute("CREATE TABLE large (id int, text text)");
            for (int done = 0; done < megabytes; done += FILL_STEP) {
                // Seven rows to a block.
                int rows = Math.min(FILL_STEP, megabytes - done) * 7 * 128;
                statement.execute(
                        "INSERT INTO large SELECT g, repeat(md5(g::text), 34) FROM generate_series(1, " + rows + ") g");
            }
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
