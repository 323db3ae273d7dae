package io.spg99.bench;

import io.spg99.cluster.pki.PlatformPki;
import io.spg99.tests.process.JavaProcess;
import io.spg99.tests.process.LocalPostgres;
import io.spg99.tests.process.ProcessOutput;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.ToDoubleFunction;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * What a pooler costs: pgbench straight to a stock PostgreSQL, through PgBouncer in transaction mode, and through the Gateway,
 * in turns. Both poolers reach PostgreSQL over its Unix socket and have as many server connections; clients come over TCP.
 * PostgreSQL runs without fsync: the disk is not what is measured.
 */
@Command(
        name = "gateway",
        description = "Throughput, latency and CPU time of the Gateway, beside PgBouncer and a direct connection.",
        mixinStandardHelpOptions = true)
final class GatewayBench extends Benchmark {

    static final String DATABASE = "postgres";

    static final String USER = "local";
    static final String PASSWORD = "of-the-bench";
    private static final int SERVER_CONNECTIONS = 20;
    private static final Duration START_LIMIT = Duration.ofSeconds(60);

    /** One shape of load. */
    private enum Mode {
        SIMPLE("--select-only --protocol=simple"),
        EXTENDED("--select-only --protocol=extended"),
        PREPARED("--select-only --protocol=prepared"),
        TPCB("--protocol=simple"),
        /** A connection per transaction, with TLS and few clients only. */
        CONNECT("--select-only --protocol=simple --connect");

        private final String options;

        Mode(String options) {
            this.options = options;
        }

        List<String> options() {
            return List.of(options.split(" ", -1));
        }
    }

    /** @param cpuMicros of the pooler, per transaction; zero if there is none */
    private record Measured(PgBench.Result result, double cpuMicros) {}

    /** @param pid of the pooler */
    private record Peer(String name, int port, OptionalLong pid, boolean prepares) {}

    @Option(names = "--rounds", defaultValue = "2", description = "Interleaved rounds (default: ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--seconds",
            defaultValue = "4",
            description = "Length of each run of pgbench (default: ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(names = "--scale", defaultValue = "10", description = "pgbench's scale (default: ${DEFAULT-VALUE}).")
    private int scale;

    @Option(
            names = "--clients",
            defaultValue = "16,200",
            split = ",",
            description = "Numbers of clients (default: ${DEFAULT-VALUE}).")
    private List<Integer> clients;

    @Option(
            names = "--modes",
            defaultValue = "simple,extended,prepared,tpcb,connect",
            split = ",",
            description = "Of ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE}).")
    private List<Mode> modes;

    @Option(
            names = "--tls",
            defaultValue = "off,on",
            split = ",",
            description = "Whether clients use TLS: off, on (default: ${DEFAULT-VALUE}).")
    private List<String> tls;

    @Option(
            names = "--warm-up",
            defaultValue = "10",
            description = "Seconds of the first run of each mode through the Gateway, which does not count"
                    + " (default: ${DEFAULT-VALUE}).")
    private int warmUp;

    @Override
    void measure(Path directory) throws IOException {
        System.out.println("starting PostgreSQL and the poolers in " + directory);
        try (LocalPostgres server = LocalPostgres.create(directory.resolve("server"))) {
            PlatformPki pki = PlatformPki.open(directory.resolve("pki"), Clock.systemUTC());
            server.useTls(pki.gatewayServer(List.of("127.0.0.1")));
            server.set("max_connections", "300");
            server.set("fsync", "off");
            server.start();
            new PgBench("direct", CommitBench.local(server)).fill(scale);
            Optional<Path> program = PgBouncer.program();
            if (program.isEmpty()) {
                System.out.println("PgBouncer is not installed (Debian: apt-get install pgbouncer): without it");
            }
            List<Peer> peers = new ArrayList<>();
            peers.add(new Peer("direct", server.port(), OptionalLong.empty(), true));
            Process gateway = startGateway(server, directory.resolve("pki"));
            try (PgBouncer bouncer = program.isEmpty()
                    ? null
                    : PgBouncer.start(program.get(), server, USER, PASSWORD, SERVER_CONNECTIONS)) {
                if (bouncer != null) {
                    peers.add(
                            new Peer("PgBouncer", bouncer.port(), OptionalLong.of(bouncer.pid()), bouncer.prepares()));
                }
                peers.add(gatewayPeer(gateway));
                measure(peers);
            } finally {
                gateway.destroyForcibly();
            }
        }
    }

    static Process startGateway(LocalPostgres server, Path pki) throws IOException {
        return JavaProcess.start(List.of(
                "bench",
                "gateway-process",
                "--pki=" + pki,
                "--socket=" + server.socketDirectory().resolve(".s.PGSQL." + server.port()),
                "--user=" + USER,
                "--password=" + PASSWORD,
                "--connections=" + SERVER_CONNECTIONS));
    }

    static int port(Process gateway) {
        return Integer.parseInt(ProcessOutput.of(gateway).awaitValue(GatewayProcess.READY, ';', START_LIMIT));
    }

    private static Peer gatewayPeer(Process gateway) {
        return new Peer("Gateway", port(gateway), OptionalLong.of(gateway.pid()), true);
    }

    private void measure(List<Peer> peers) throws IOException {
        System.out.printf(
                "medians of %d rounds of %d s; %d server connections; CPU of the pooler's process from the first to the last transaction%n",
                rounds, seconds, SERVER_CONNECTIONS);
        for (Mode mode : modes) {
            run(peers.getLast(), mode, tls.contains("on"), clients.getFirst(), warmUp);
            for (String encrypted : tls) {
                for (int count : clients) {
                    if (mode != Mode.CONNECT || (encrypted.equals("on") && count == clients.getFirst())) {
                        measure(peers, mode, encrypted.equals("on"), count);
                    }
                }
            }
        }
    }

    private void measure(List<Peer> all, Mode mode, boolean encrypted, int count) throws IOException {
        List<Peer> peers = all.stream()
                .filter(peer -> mode != Mode.PREPARED || peer.prepares())
                .toList();
        Map<String, List<Measured>> results = new LinkedHashMap<>();
        for (int round = 0; round < rounds; round++) {
            for (Peer peer : peers) {
                results.computeIfAbsent(peer.name(), name -> new ArrayList<>())
                        .add(run(peer, mode, encrypted, count, seconds));
            }
        }
        System.out.printf(
                "%n%s, %d clients, TLS %s%n%-12s %9s %9s %9s %12s%n",
                mode.name().toLowerCase(Locale.ROOT),
                count,
                encrypted ? "on" : "off",
                "",
                "tps",
                "p50 ms",
                "p99 ms",
                "CPU us/tx");
        results.forEach((name, runs) -> print(name, numbers(runs)));
        List<Measured> bouncer = results.get("PgBouncer");
        List<Measured> gateway = results.get("Gateway");
        if (bouncer != null && gateway != null) {
            double[] of = numbers(bouncer);
            double[] ratio = numbers(gateway);
            for (int i = 0; i < ratio.length; i++) {
                ratio[i] /= of[i];
            }
            System.out.printf(
                    "%-12s %9.2f %9.2f %9.2f %12.2f%n", "to PgBouncer", ratio[0], ratio[1], ratio[2], ratio[3]);
        }
    }

    private static void print(String name, double[] numbers) {
        System.out.printf(
                "%-12s %9.0f %9.3f %9.3f %12s%n",
                name, numbers[0], numbers[1], numbers[2], numbers[3] == 0 ? "" : "%.1f".formatted(numbers[3]));
    }

    private static double[] numbers(List<Measured> runs) {
        return new double[] {
            median(runs, run -> run.result().tps()),
            median(runs, run -> run.result().latencies().percentileMillis(50)),
            median(runs, run -> run.result().latencies().percentileMillis(99)),
            median(runs, Measured::cpuMicros)
        };
    }

    private static double median(List<Measured> runs, ToDoubleFunction<Measured> number) {
        return CommitBench.median(runs.stream().mapToDouble(number).sorted().toArray());
    }

    private static Measured run(Peer peer, Mode mode, boolean encrypted, int count, int seconds) throws IOException {
        Map<String, String> environment = Map.of(
                "PGHOST",
                "127.0.0.1",
                "PGPORT",
                String.valueOf(peer.port()),
                "PGUSER",
                USER,
                "PGPASSWORD",
                PASSWORD,
                "PGDATABASE",
                DATABASE,
                "PGGSSENCMODE",
                "disable",
                "PGSSLMODE",
                encrypted ? "require" : "disable");
        PgBench bench = new PgBench(peer.name(), environment);
        Duration length = Duration.ofSeconds(seconds);
        if (peer.pid().isEmpty()) {
            return new Measured(bench.run(count, length, mode.options()), 0);
        }
        try (CpuMeter meter = CpuMeter.of(peer.pid().getAsLong())) {
            PgBench.Result result = bench.run(count, length, mode.options());
            return new Measured(result, meter.microsPer(result.ends()));
        }
    }
}
