package io.spg99.bench;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.postgres.Programs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** The machine's {@code pgbench} against one server. */
final class PgBench {

    private static final Pattern TPS = Pattern.compile("(?m)^tps = ([0-9.]+)");
    private static final Pattern FAILED = Pattern.compile("(?m)^number of failed transactions: ([0-9]+)");

    /** Beyond what was asked for: connecting, and the last transactions. */
    private static final Duration GRACE = Duration.ofSeconds(60);

    private static final Duration FILL_LIMIT = Duration.ofMinutes(20);

    private final String name;
    private final Map<String, String> environment;

    /** @param server libpq's environment variables: PGHOST and so on */
    PgBench(String name, Map<String, String> server) {
        this.name = name;
        this.environment = new HashMap<>(server);
        environment.put("PATH", System.getenv().getOrDefault("PATH", "/usr/bin:/bin"));
    }

    /**
     * @param latencies of single transactions
     * @param ends      when they ended, in microseconds since 1970, sorted
     */
    record Result(double tps, Samples latencies, List<Long> ends) {}

    String name() {
        return name;
    }

    void fill(int scale) throws IOException {
        run(List.of("--initialize", "--quiet", "--scale=" + scale), FILL_LIMIT);
    }

    /** @param options which script, which protocol */
    Result run(int clients, Duration duration, List<String> options) throws IOException {
        Path logs = Files.createTempDirectory("spg99-pgbench-");
        try {
            List<String> arguments = new ArrayList<>(List.of(
                    "--no-vacuum",
                    "--client=" + clients,
                    "--jobs=" + Math.min(clients, 2),
                    "--time=" + duration.toSeconds(),
                    "--log",
                    "--log-prefix=" + logs.resolve("log")));
            arguments.addAll(options);
            String output = run(arguments, duration.plus(GRACE));
            Matcher tps = TPS.matcher(output);
            Matcher failed = FAILED.matcher(output);
            if (!tps.find() || (failed.find() && !failed.group(1).equals("0"))) {
                throw new IOException("pgbench had failures: server=" + name + " output=" + output);
            }
            return result(Double.parseDouble(tps.group(1)), logs);
        } finally {
            FileTree.delete(logs);
        }
    }

    /**
     * Runs, whatever becomes of single transactions, and leaves a line for each of them in files.
     *
     * @return what pgbench says in the end
     */
    String log(int clients, Duration duration, List<String> options, Path logs) throws IOException {
        List<String> arguments = new ArrayList<>(List.of(
                "--no-vacuum",
                "--client=" + clients,
                "--jobs=" + Math.min(clients, 2),
                "--time=" + duration.toSeconds(),
                "--log",
                "--log-prefix=" + logs.resolve("log")));
        arguments.addAll(options);
        return run(arguments, duration.plus(GRACE));
    }

    private String run(List<String> arguments, Duration limit) throws IOException {
        List<String> command = new ArrayList<>(List.of("pgbench"));
        command.addAll(arguments);
        return Programs.run(command, environment, "", limit);
    }

    /** A line per transaction: client, number, latency in microseconds, script, and when it ended in seconds and microseconds. */
    private static Result result(double tps, Path logs) throws IOException {
        Samples latencies = new Samples();
        List<Long> ends = new ArrayList<>();
        try (Stream<Path> files = Files.list(logs)) {
            for (Path file : files.toList()) {
                try (Stream<String> lines = Files.lines(file)) {
                    lines.map(line -> line.split(" ", 7)).forEach(words -> {
                        latencies.add(Duration.ofNanos(Long.parseLong(words[2]) * 1000));
                        ends.add(Long.parseLong(words[4]) * 1_000_000 + Long.parseLong(words[5]));
                    });
                }
            }
        }
        Collections.sort(ends);
        return new Result(tps, latencies, ends);
    }
}
