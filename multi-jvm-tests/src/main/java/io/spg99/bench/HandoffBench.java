package io.spg99.bench;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.storage.file.FileTree;
import io.spg99.tests.process.ApiClient;
import io.spg99.tests.process.DevProcess;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * What a change of profile costs the clients: pgbench's TPC-B runs through the Gateway while the profile changes again and again;
 * the pause of each handoff is the longest time between two commits of all clients around it. In the same run, at the end, what
 * a plain stop and start cost, without any load.
 */
@Command(
        name = "handoff",
        description = "The pause that clients see when the profile changes, beside that of a stop and a start.",
        mixinStandardHelpOptions = true)
final class HandoffBench extends Benchmark {

    private static final Duration SCALE_LIMIT = Duration.ofSeconds(60);

    /** What a handoff takes at most as a rule, in seconds. */
    private static final int EACH = 4;

    /** Seconds between two stops. */
    private static final int RESTED = 5;

    @Option(names = "--handoffs", defaultValue = "20", description = "Handoffs (default: ${DEFAULT-VALUE}).")
    private int handoffs;

    @Option(names = "--restarts", defaultValue = "5", description = "Stops and starts (default: ${DEFAULT-VALUE}).")
    private int restarts;

    @Option(
            names = "--seconds",
            defaultValue = "12",
            description =
                    "Time between two handoffs, of which 10 s after each are compared (default: ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(names = "--scale", defaultValue = "20", description = "pgbench's scale (default: ${DEFAULT-VALUE}).")
    private int scale;

    @Option(names = "--clients", defaultValue = "32", description = "Clients (default: ${DEFAULT-VALUE}).")
    private int clients;

    @Option(
            names = "--profiles",
            defaultValue = "L2,L3",
            split = ",",
            description = "Profiles, in turn (default: ${DEFAULT-VALUE}).")
    private List<String> profiles;

    /** @param from before the first step, {@code to} when the writer was switched */
    record Event(Instant from, Instant to, String profile) {}

    @Override
    void measure(Path directory) throws Exception {
        try (DevProcess dev = DevProcess.start(
                directory.resolve("dev"), "--idle-timeout", "never", "-Dspg99.lifecycle.handoff.cooldown=1s")) {
            measure(dev, directory);
        }
    }

    private void measure(DevProcess dev, Path directory) throws Exception {
        PgBench bench = new PgBench("spg99", gateway(dev));
        System.out.println("filling");
        bench.fill(scale);
        Path logs = Files.createDirectory(directory.resolve("logs"));
        Duration length = Duration.ofSeconds((handoffs + 1L) * (seconds + EACH));
        CompletableFuture<String> running = CompletableFuture.supplyAsync(() -> {
            try {
                return bench.log(clients, length, List.of("--protocol=prepared"), logs);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
        List<Event> scaled = new ArrayList<>();
        TimeUnit.SECONDS.sleep(seconds);
        for (int i = 0; i < handoffs; i++) {
            String profile = profiles.get(i % profiles.size());
            scaled.add(scale(dev, profile));
            TimeUnit.SECONDS.sleep(seconds);
        }
        String output = running.get(length.toSeconds() + 60, TimeUnit.SECONDS);
        long[] commits = commits(logs);
        FileTree.delete(logs);
        Samples stops = new Samples();
        for (int i = 0; i < restarts; i++) {
            TimeUnit.SECONDS.sleep(RESTED);
            stops.add(restart(dev));
        }
        report(commits, scaled, stops);
        phases(dev);
        System.out.println(failures(output));
    }

    static Event scale(DevProcess dev, String profile) {
        ApiClient api = dev.api();
        Instant from = Instant.now();
        api.post(path(dev) + "/scale", "{\"profile\":\"" + profile + "\"}");
        JsonNode done = api.awaitDatabase(
                dev.get("tenant"),
                dev.get("database"),
                SCALE_LIMIT,
                json -> json.path("current_profile").asText().equals(profile)
                        && List.of("STEADY", "COOLDOWN")
                                .contains(json.path("scale_state").asText()));
        System.out.printf("generation %d: %s%n", done.path("generation").asInt(), profile);
        return new Event(from, Instant.now().plusMillis(500), profile);
    }

    /** From the request to stop to the first commit of a client that comes at once; a stop ends the sessions there are. */
    private static Duration restart(DevProcess dev) throws SQLException {
        Instant from = Instant.now();
        dev.api().post(path(dev) + "/stop", "");
        try (Connection connection = CommitBench.connect(dev);
                Statement statement = connection.createStatement()) {
            statement.executeUpdate("UPDATE pgbench_branches SET bbalance = bbalance + 1 WHERE bid = 1");
        }
        return Duration.between(from, Instant.now());
    }

    private static String path(DevProcess dev) {
        return "/v2/tenants/" + dev.get("tenant") + "/dbs/" + dev.get("database");
    }

    private static Map<String, String> gateway(DevProcess dev) {
        return Map.of(
                "PGHOST", dev.get("gateway_host"),
                "PGPORT", dev.get("gateway_port"),
                "PGUSER", dev.user(),
                "PGPASSWORD", dev.password(),
                "PGDATABASE", dev.get("database"),
                "PGSSLMODE", "require");
    }

    /** When transactions ended, in microseconds since 1970, in order: a line per transaction, fifth and sixth word. */
    private static long[] commits(Path logs) throws IOException {
        List<Long> all = new ArrayList<>();
        try (Stream<Path> files = Files.list(logs)) {
            for (Path file : files.toList()) {
                try (Stream<String> lines = Files.lines(file)) {
                    lines.map(line -> line.split(" ", 7))
                            .filter(words -> words.length >= 6)
                            .forEach(words -> all.add(Long.parseLong(words[4]) * 1_000_000 + Long.parseLong(words[5])));
                }
            }
        }
        return all.stream().mapToLong(Long::longValue).sorted().toArray();
    }

    private void report(long[] commits, List<Event> scaled, Samples stops) {
        Samples pauses = new Samples();
        Samples usual = new Samples();
        for (Event event : scaled) {
            pauses.add(longestGap(commits, event.from(), event.to()));
            usual.add(longestGap(commits, event.from().minusSeconds(3), event.from()));
        }
        System.out.printf("%n%-44s %8s %8s %8s%n", "longest time between two commits, ms", "median", "p99", "n");
        print("around a handoff", pauses, scaled.size());
        print("in 3 s before a handoff", usual, scaled.size());
        if (restarts > 0) {
            print("from a stop to a commit after the next start", stops, restarts);
        }
        ratio(commits, scaled);
    }

    private static void print(String what, Samples samples, int count) {
        System.out.printf("%-44s %8.0f %8.0f %8d%n", what, samples.medianMillis(), samples.percentileMillis(99), count);
    }

    /** Commits in the 10 s after a switch, beside those in the 10 s before the writer of that profile was replaced. */
    private void ratio(long[] commits, List<Event> scaled) {
        List<Double> ratios = new ArrayList<>();
        for (int i = 0; i + profiles.size() < scaled.size(); i++) {
            Event away = scaled.get(i + 1);
            Event back = scaled.get(i + profiles.size());
            Instant switched = back.to().minusMillis(500);
            double before = count(commits, away.from().minusSeconds(10), away.from());
            double after = count(commits, switched, switched.plusSeconds(10));
            if (scaled.get(i).profile().equals(back.profile()) && before > 0) {
                ratios.add(after / before);
            }
        }
        if (!ratios.isEmpty()) {
            double[] sorted =
                    ratios.stream().mapToDouble(Double::doubleValue).sorted().toArray();
            System.out.printf(
                    "transactions in the 10 s after a switch, over those before at the same profile: median %.2f, least %.2f%n",
                    sorted[sorted.length / 2], sorted[0]);
        }
    }

    private static int count(long[] commits, Instant from, Instant to) {
        return index(commits, to) - index(commits, from);
    }

    private static Duration longestGap(long[] commits, Instant from, Instant to) {
        long longest = 0;
        int last = Math.min(index(commits, to), commits.length - 1);
        for (int i = Math.max(1, index(commits, from)); i <= last; i++) {
            longest = Math.max(longest, commits[i] - commits[i - 1]);
        }
        return Duration.ofNanos(longest * 1000);
    }

    /** Of the first commit at or after {@code at}. */
    private static int index(long[] commits, Instant at) {
        long micros = at.getEpochSecond() * 1_000_000 + at.getNano() / 1000;
        int found = Arrays.binarySearch(commits, micros);
        return found >= 0 ? found : -found - 1;
    }

    /** As the platform says them for each handoff. */
    private static void phases(DevProcess dev) throws IOException {
        try (Stream<String> lines = Files.lines(dev.data().resolve("logs").resolve("spg99.log"))) {
            lines.filter(line -> line.contains(" handoff: "))
                    .map(line -> line.substring(line.indexOf("handoff: ")))
                    .forEach(System.out::println);
        }
    }

    private static String failures(String output) {
        return output.lines()
                .filter(line ->
                        line.startsWith("number of failed") || line.contains("error") || line.contains("aborted"))
                .reduce("", (a, b) -> a + b + "\n")
                .strip();
    }
}
