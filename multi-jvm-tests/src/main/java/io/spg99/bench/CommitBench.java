package io.spg99.bench;

import io.spg99.cluster.pki.PlatformPki;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.LocalPostgres;
import io.spg99.tests.process.PostgresProcesses;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * What a durable commit costs: pgbench's TPC-B through the whole chain and straight to the compute, beside stock PostgreSQL
 * alone and stock PostgreSQL with three stock standbys of which two must have the commit on disk: the same durability. The
 * chain is reached over TCP with TLS, as it always is, the others over their Unix sockets, and the one with standbys in both
 * ways. All on one disk of one machine, all with PostgreSQL's own settings except for what is named.
 */
@Command(
        name = "commit",
        description = "Throughput and latency of pgbench TPC-B, beside stock PostgreSQL alone and with three standbys.",
        mixinStandardHelpOptions = true)
final class CommitBench extends Benchmark {

    private static final String SAME_DURABILITY = "stock, 3 standbys, ANY 2";
    private static final String SAME_WITH_TLS = "the same, TCP with TLS";

    /** Its shared_buffers and max_connections are, or exceed, what stock PostgreSQL begins with. */
    private static final String PROFILE = "L2";

    private static final String LOOPBACK = "127.0.0.1";

    private static final Duration STREAMING_LIMIT = Duration.ofSeconds(60);

    @Option(names = "--rounds", defaultValue = "5", description = "Interleaved rounds (default: ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--seconds",
            defaultValue = "6",
            description = "Length of each run of pgbench (default: ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(names = "--scale", defaultValue = "20", description = "pgbench's scale (default: ${DEFAULT-VALUE}).")
    private int scale;

    @Option(
            names = "--clients",
            defaultValue = "1,16,64",
            split = ",",
            description = "Numbers of clients (default: ${DEFAULT-VALUE}).")
    private List<Integer> clients;

    @Option(
            names = "--protocol",
            defaultValue = "prepared",
            description = "pgbench's protocol: simple, extended or prepared (default: ${DEFAULT-VALUE}).")
    private String protocol;

    @Override
    void measure(Path directory) throws Exception {
        System.out.println("starting the platform, PostgreSQL, and PostgreSQL with standbys in " + directory);
        List<LocalPostgres> servers = new ArrayList<>();
        // One open connection keeps the database from falling asleep while the others are filled.
        try (DevProcess dev = DevProcess.start(directory.resolve("dev"));
                Connection awake = awake(dev)) {
            LocalPostgres alone = LocalPostgres.create(directory.resolve("alone"));
            servers.add(alone);
            alone.start();
            LocalPostgres primary = LocalPostgres.create(directory.resolve("primary"));
            servers.add(primary);
            primary.useTls(PlatformPki.open(directory.resolve("pki"), Clock.systemUTC())
                    .gatewayServer(List.of(LOOPBACK)));
            startWithStandbys(primary, directory, servers);
            List<PgBench> peers = List.of(
                    new PgBench("spg99, through the Gateway", gateway(dev)),
                    new PgBench("spg99, straight to compute", compute(dev, awake)),
                    new PgBench("stock, alone", local(alone)),
                    new PgBench(SAME_DURABILITY, local(primary)),
                    new PgBench(SAME_WITH_TLS, encrypted(primary)));
            for (PgBench peer : peers.subList(1, peers.size() - 1)) {
                System.out.println("filling: " + peer.name());
                peer.fill(scale);
            }
            for (int count : clients) {
                measure(peers, count);
            }
        } finally {
            for (LocalPostgres server : servers) {
                server.close();
            }
        }
    }

    private void measure(List<PgBench> peers, int count) throws IOException {
        Map<String, List<PgBench.Result>> results = new LinkedHashMap<>();
        // pgbench prepares statements with calls that block a thread: one whose other clients are in transactions
        // would wait for a server connection that these hold, with any pooler.
        List<String> options = List.of("--protocol=" + protocol, "--jobs=" + count);
        for (int round = 0; round <= rounds; round++) { // the first one warms up
            for (PgBench peer : peers) {
                PgBench.Result result = peer.run(count, Duration.ofSeconds(seconds), options);
                System.out.printf(
                        "%2d clients  round %d  %-28s %8.0f tps%s%n",
                        count, round, peer.name(), result.tps(), round == 0 ? "  (warm-up)" : "");
                if (round > 0) {
                    results.computeIfAbsent(peer.name(), name -> new ArrayList<>())
                            .add(result);
                }
            }
        }
        double yardstick = tps(results.getOrDefault(SAME_DURABILITY, List.of()));
        double withTls = tps(results.getOrDefault(SAME_WITH_TLS, List.of()));
        System.out.printf("%n%d clients, medians of %d rounds of %d s%n", count, rounds, seconds);
        System.out.printf("%-28s %8s %10s %10s %8s %8s%n", "", "tps", "median ms", "p99 ms", "ratio", "to TLS");
        results.forEach((name, runs) -> System.out.printf(
                "%-28s %8.0f %10.2f %10.2f %8.2f %8.2f%n",
                name, tps(runs), latency(runs, 50), latency(runs, 99), tps(runs) / yardstick, tps(runs) / withTls));
        System.out.println();
    }

    private static double tps(List<PgBench.Result> runs) {
        return median(runs.stream().mapToDouble(PgBench.Result::tps).sorted().toArray());
    }

    private static double latency(List<PgBench.Result> runs, int percent) {
        return median(runs.stream()
                .mapToDouble(run -> run.latencies().percentileMillis(percent))
                .sorted()
                .toArray());
    }

    static double median(double[] sorted) {
        int half = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }

    private static Connection awake(DevProcess dev) throws SQLException {
        connect(dev).close(); // there is a writer to scale
        HandoffBench.scale(dev, PROFILE);
        return connect(dev);
    }

    static Connection connect(DevProcess dev) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", dev.user());
        properties.setProperty("password", dev.password());
        return DriverManager.getConnection(dev.jdbcUrl() + "&options=-c%20spg99.pool_mode=session", properties);
    }

    static Map<String, String> gateway(DevProcess dev) {
        return Map.of(
                "PGHOST", dev.get("gateway_host"),
                "PGPORT", dev.get("gateway_port"),
                "PGUSER", dev.user(),
                "PGPASSWORD", dev.password(),
                "PGDATABASE", dev.get("database"),
                "PGSSLMODE", "require");
    }

    /** The compute's own socket, which its system user may use as the tenant. */
    private static Map<String, String> compute(DevProcess dev, Connection awake) throws SQLException, IOException {
        long postmaster;
        try (Statement statement = awake.createStatement();
                ResultSet row = statement.executeQuery("SELECT pg_backend_pid()")) {
            row.next();
            postmaster = ProcessHandle.of(row.getLong(1))
                    .flatMap(ProcessHandle::parent)
                    .orElseThrow()
                    .pid();
        }
        List<String> file = Files.readAllLines(
                PostgresProcesses.workingDirectory(postmaster).resolve("postmaster.pid"));
        return Map.of(
                "PGPORT", file.get(3), "PGHOST", file.get(4), "PGUSER", dev.user(), "PGDATABASE", dev.get("database"));
    }

    static Map<String, String> local(LocalPostgres server) {
        return Map.of(
                "PGHOST",
                server.socketDirectory().toString(),
                "PGPORT",
                String.valueOf(server.port()),
                "PGUSER",
                "local",
                "PGDATABASE",
                "postgres");
    }

    private static Map<String, String> encrypted(LocalPostgres server) {
        Map<String, String> address = new HashMap<>(local(server));
        address.put("PGHOST", LOOPBACK);
        address.put("PGSSLMODE", "require");
        return address;
    }

    private static void startWithStandbys(LocalPostgres primary, Path directory, List<LocalPostgres> servers)
            throws IOException, SQLException, InterruptedException {
        List<LocalPostgres> standbys = new ArrayList<>();
        for (String name : List.of("sb1", "sb2", "sb3")) {
            standbys.add(primary.standby(directory.resolve(name), name));
        }
        primary.set("synchronous_standby_names", "ANY 2 (sb1, sb2, sb3)");
        primary.start();
        servers.addAll(0, standbys); // they are stopped first
        for (LocalPostgres standby : standbys) {
            standby.launch();
        }
        long deadline = System.nanoTime() + STREAMING_LIMIT.toNanos();
        try (Connection connection = primary.connect();
                Statement statement = connection.createStatement()) {
            while (!streaming(statement)) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("the standbys do not follow: limit=" + STREAMING_LIMIT);
                }
                TimeUnit.MILLISECONDS.sleep(50);
            }
        }
    }

    private static boolean streaming(Statement statement) throws SQLException {
        try (ResultSet row =
                statement.executeQuery("SELECT count(*) = 3 FROM pg_stat_replication WHERE state = 'streaming'")) {
            row.next();
            return row.getBoolean(1);
        }
    }
}
