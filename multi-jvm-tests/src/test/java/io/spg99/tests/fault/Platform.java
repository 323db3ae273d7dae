package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.storage.file.FileTree;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.GenerationNodeProcess;
import io.spg99.tests.process.SafekeeperProcess;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;

/**
 * A platform whose parts can be killed one by one: {@code dev} with everything but the Safekeepers, and three Safekeepers,
 * each a process of its own behind a {@link FaultyLink}. Its ports stay the same for as long as it exists.
 */
final class Platform implements AutoCloseable {

    static final List<String> SAFEKEEPERS = List.of("sk1", "sk2", "sk3");

    private final Path directory;
    private final Path data;
    private final int clusterPort;
    private final String httpPort;
    private final String gatewayPort;
    private final Map<String, FaultyLink> links = new HashMap<>();
    private final Map<String, SafekeeperProcess> safekeepers = new HashMap<>();
    private final List<TestDatabase> databases = new ArrayList<>();

    private @Nullable DevProcess dev;
    private int tenants;

    private Platform(Path directory) throws IOException {
        this.directory = directory;
        this.data = directory.resolve("data");
        this.clusterPort = DevProcess.freePort();
        this.httpPort = String.valueOf(DevProcess.freePort());
        this.gatewayPort = String.valueOf(DevProcess.freePort());
        for (String id : SAFEKEEPERS) {
            links.put(id, FaultyLink.open());
        }
    }

    /** Starts everything, and returns when all of it is there. */
    static Platform start() throws Exception {
        Platform platform = new Platform(DevProcess.temporaryDirectory());
        try {
            Process launched = platform.launchDev();
            Awaitility.await("certificate authority")
                    .atMost(Duration.ofSeconds(30))
                    .until(() -> Files.exists(platform.data.resolve("pki").resolve("ca.crt")));
            platform.startSafekeepers();
            platform.dev = DevProcess.ready(launched, platform.data);
            return platform;
        } catch (Exception | Error e) {
            platform.close();
            throw e;
        }
    }

    private Process launchDev() throws IOException {
        return DevProcess.launch(
                data,
                "--safekeepers",
                "external",
                "--cluster-port",
                String.valueOf(clusterPort),
                "--http-port",
                httpPort,
                "--gateway-port",
                gatewayPort,
                "--idle-timeout",
                "never",
                "-Dspg99.lifecycle.handoff.cooldown=1s",
                "-Dspg99.lifecycle.handoff.answer-limit=2s",
                "-Dspg99.lifecycle.handoff.retry-max=2s");
    }

    /** SIGKILL to everything but the Safekeepers; their PostgreSQL servers are told by the kernel. */
    void killDev() {
        dev().kill();
    }

    /** Starts {@code dev} again and waits until it is ready. */
    void startDev() throws IOException {
        dev = DevProcess.ready(launchDev(), data);
    }

    DevProcess dev() {
        return Objects.requireNonNull(dev, "dev");
    }

    Path data() {
        return data;
    }

    /** Where the PostgreSQL servers keep what they touch. */
    Path postgresDirectory() throws IOException {
        return data.resolve("postgres").toRealPath();
    }

    Path safekeeperDirectory(String id) {
        return SafekeeperProcess.directory(data, id);
    }

    /** Another node, to which writers move when their profile changes. */
    GenerationNodeProcess startGenerationNode(Path own, List<String> wrapper) throws IOException {
        int from = log().length();
        GenerationNodeProcess node = GenerationNodeProcess.start(data, clusterPort, own, wrapper);
        awaitGenerationNode(from);
        return node;
    }

    /** Waits until {@code dev} has said, after the first {@code from} characters of its log, that it knows of another node. */
    void awaitGenerationNode(int from) {
        Awaitility.await("another node")
                .atMost(Duration.ofSeconds(30))
                .pollInterval(Duration.ofMillis(50))
                .until(() -> log().indexOf("nodes with generations, this one included: 2", from) >= 0);
    }

    /** Starts those that are not running, and waits until they have joined. */
    void startSafekeepers() throws IOException {
        for (String id : SAFEKEEPERS) {
            SafekeeperProcess running = safekeepers.get(id);
            if (running == null || !running.isAlive()) {
                start(id);
            }
        }
        safekeepers.values().forEach(SafekeeperProcess::awaitReady);
    }

    /** Starts a Safekeeper without waiting. */
    SafekeeperProcess start(String id) throws IOException {
        return start(id, List.of(), Map.of());
    }

    /**
     * @param wrapper     program, with its arguments, that becomes the Safekeeper
     * @param environment beside this process's
     */
    SafekeeperProcess start(String id, List<String> wrapper, Map<String, String> environment) throws IOException {
        return start(id, link(id).address(), wrapper, environment);
    }

    /** @param link where the Safekeeper finds its link */
    SafekeeperProcess start(String id, InetSocketAddress link, List<String> wrapper, Map<String, String> environment)
            throws IOException {
        SafekeeperProcess.Special special = new SafekeeperProcess.Special(
                wrapper,
                environment,
                List.of(
                        "-DsocksProxyHost=" + link.getHostString(),
                        "-DsocksProxyPort=" + link.getPort(),
                        // Java would leave out the loopback interface.
                        "-DsocksNonProxyHosts="),
                List.of("--tcp-only"));
        SafekeeperProcess started = SafekeeperProcess.start(data, id, clusterPort, special);
        safekeepers.put(id, started);
        return started;
    }

    SafekeeperProcess safekeeper(String id) {
        return Objects.requireNonNull(safekeepers.get(id), id);
    }

    /** The way by which a Safekeeper reaches the writers and the other Safekeepers. */
    FaultyLink link(String id) {
        return Objects.requireNonNull(links.get(id), id);
    }

    void kill(String id) {
        safekeeper(id).kill();
    }

    /** Whatever a test left behind: links healed, Safekeepers thawed and started again, its databases deleted. */
    void restore() throws IOException {
        links.values().forEach(FaultyLink::heal);
        for (SafekeeperProcess safekeeper : safekeepers.values()) {
            safekeeper.thaw();
        }
        startSafekeepers();
        databases.forEach(TestDatabase::delete);
        databases.clear();
    }

    /** The directory of a timeline on a Safekeeper. */
    Path timelineDirectory(String id, TestDatabase database) {
        return safekeeperDirectory(id).resolve("timelines").resolve(database.timeline());
    }

    /** Fails unless the three Safekeepers hold the same WAL, byte for byte. The writer must have stopped in order. */
    void assertSameWal(TestDatabase database) throws IOException {
        Map<String, byte[]> first = segments(timelineDirectory("sk1", database));
        assertFalse(first.isEmpty(), "no WAL");
        for (String id : List.of("sk2", "sk3")) {
            Map<String, byte[]> other = segments(timelineDirectory(id, database));
            assertEquals(first.keySet(), other.keySet(), "segments of " + id);
            first.forEach((name, bytes) -> {
                byte[] its = Objects.requireNonNull(other.get(name));
                int parents = headOf(name, first);
                int head = zeros(bytes) < parents && zeros(its) < parents ? 0 : parents;
                int difference = Arrays.mismatch(bytes, head, bytes.length, its, head, its.length);
                assertEquals(
                        -1,
                        difference,
                        () -> "WAL of sk1 and " + id + " differs in " + name + " at byte " + (head + difference)
                                + ", lengths " + bytes.length + " and " + its.length + "; log of " + id + ":\n"
                                + tail(id));
            });
        }
    }

    /**
     * Length of the parent's part of a segment in which a generation begins. It is filled in when a stream has ended in order, but stays
     * zero if the next generation was promised before that: nobody reads it.
     */
    private static int headOf(String name, Map<String, byte[]> segments) {
        return segments.entrySet().stream()
                .filter(other -> other.getKey().substring(8).equals(name.substring(8))
                        && other.getKey().compareTo(name) < 0)
                .mapToInt(other -> other.getValue().length)
                .max()
                .orElse(0);
    }

    private static int zeros(byte[] bytes) {
        int count = 0;
        while (count < bytes.length && bytes[count] == 0) {
            count++;
        }
        return count;
    }

    private String tail(String id) {
        try {
            List<String> lines = log(id).lines().toList();
            return String.join("\n", lines.subList(Math.max(0, lines.size() - 40), lines.size()));
        } catch (IOException e) {
            return e.toString();
        }
    }

    /** A segment that was torn once ends with the WAL, others with zeros: without those. */
    private static Map<String, byte[]> segments(Path directory) throws IOException {
        Map<String, byte[]> segments = new TreeMap<>();
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.filter(path -> path.getFileName().toString().matches("[0-9A-F]{24}"))
                    .toList()) {
                byte[] bytes = Files.readAllBytes(file);
                int end = bytes.length;
                while (end > 0 && bytes[end - 1] == 0) {
                    end--;
                }
                segments.put(file.getFileName().toString(), Arrays.copyOf(bytes, end));
            }
        }
        return segments;
    }

    /** The log of {@code dev}, or of a Safekeeper. */
    String log() throws IOException {
        return Files.readString(data.resolve("logs").resolve("spg99.log"));
    }

    String log(String id) throws IOException {
        return Files.readString(safekeeperDirectory(id).resolve("logs").resolve("spg99.log"));
    }

    /** A new tenant with one database, awake. */
    TestDatabase createDatabase() throws Exception {
        tenants++;
        String tenant = "fault_" + tenants;
        JsonNode made =
                dev().api().post("/v2/tenants", "{\"name\":\"" + tenant + "\"}").body();
        JsonNode database = dev().api()
                .post("/v2/tenants/" + tenant + "/dbs", "{\"name\":\"app\",\"idle_timeout\":\"never\"}")
                .body();
        TestDatabase created = new TestDatabase(
                this,
                tenant,
                "app",
                database.path("id").asText(),
                database.path("timeline_id").asText(),
                made.path("pg_user").asText(),
                made.path("pg_password").asText());
        databases.add(created);
        created.number("SELECT 1");
        return created;
    }

    @Override
    public void close() throws IOException {
        DevProcess running = dev;
        if (running != null && running.process().isAlive()) {
            running.kill();
        }
        safekeepers.values().forEach(SafekeeperProcess::close);
        for (FaultyLink link : links.values()) {
            link.close();
        }
        FileTree.delete(directory);
    }

    /** Time since {@code begin}, a reading of {@link System#nanoTime}. */
    static long millisSince(long begin) {
        return TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin);
    }
}
