package io.spg99.cluster.dev;

import io.spg99.cluster.input.Ports;
import io.spg99.cluster.input.UserError;
import io.spg99.cluster.journal.JournalPostgres;
import io.spg99.cluster.node.Deadline;
import io.spg99.cluster.node.MemberSettings;
import io.spg99.cluster.node.Node;
import io.spg99.cluster.node.NodeSettings;
import io.spg99.cluster.node.Role;
import io.spg99.cluster.pki.PlatformPki;
import io.spg99.lifecycle.model.IdleTimeout;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.safekeeper.SafekeeperId;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.Base64;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The whole platform in this process: a journal's PostgreSQL, one node with every role, and a demo database. The
 * Safekeepers may be processes of their own instead, which join this one's cluster.
 */
public final class DevPlatform {

    private static final String HOST = "127.0.0.1";
    private static final String TENANT = "demo";
    private static final String DATABASE = "app";

    /** What is left after it, before the last resort, is for processes that have to be killed. */
    private static final Duration STOP_LIMIT = Duration.ofMillis(8400);

    /** What the end of the node leaves to that of its journal. */
    private static final Duration JOURNAL_STOP_SHARE = Duration.ofSeconds(1);

    /** Where the Safekeepers run. */
    public enum Safekeepers {
        INSIDE,
        EXTERNAL
    }

    /**
     * @param httpPort    0 for any free port, as for {@code gatewayPort}
     * @param clusterPort where nodes join; 0 for any
     * @param idleTimeout for databases without one of their own, as {@link IdleTimeout} reads it
     * @param reset       forget everything in {@code data} first
     */
    public record Options(
            Path data,
            int httpPort,
            int gatewayPort,
            Safekeepers safekeepers,
            int clusterPort,
            String idleTimeout,
            boolean reset) {

        boolean external() {
            return safekeepers == Safekeepers.EXTERNAL;
        }

        private Options withPorts(int http, int gateway) {
            return new Options(data, http, gateway, safekeepers, clusterPort, idleTimeout, reset);
        }
    }

    private final Options options;
    private final DataDirectory directory;
    private final JournalPostgres journal;
    private final Node node;
    private final PlatformPki pki;
    private final String apiKey;

    private DevPlatform(
            Options options,
            DataDirectory directory,
            JournalPostgres journal,
            Node node,
            PlatformPki pki,
            String apiKey) {
        this.options = options;
        this.directory = directory;
        this.journal = journal;
        this.node = node;
        this.pki = pki;
        this.apiKey = apiKey;
    }

    /**
     * Starts everything and returns when the API answers; {@link #open} does the rest.
     *
     * @param progress told of each step that may take more than a moment
     * @throws UserError if the user must change something first
     */
    public static DevPlatform start(Options given, Consumer<String> progress) throws IOException {
        if (IdleTimeout.parse(given.idleTimeout()).isEmpty()) {
            throw new UserError("--idle-timeout %s: %s".formatted(given.idleTimeout(), IdleTimeout.RULE));
        }
        Map<String, Integer> ports = new LinkedHashMap<>();
        ports.put("--http-port", given.httpPort());
        ports.put("--gateway-port", given.gatewayPort());
        ports.put("--cluster-port", given.clusterPort());
        Ports.requireDifferent(ports);
        // First of all: whoever starts a second one on it is told that, and not of the ports which the first one uses.
        DataDirectory.Locked directory = DataDirectory.lock(given.data());
        try {
            Options options = given.withPorts(
                    Ports.requireFree(HOST, given.httpPort(), "--http-port"),
                    Ports.requireFree(HOST, given.gatewayPort(), "--gateway-port"));
            Ports.requireFree(HOST, options.clusterPort(), "--cluster-port");
            return start(options, DataDirectory.open(directory, options.reset()), progress);
        } catch (IOException | RuntimeException e) {
            directory.close();
            throw e;
        }
    }

    private static DevPlatform start(Options options, DataDirectory directory, Consumer<String> progress)
            throws IOException {
        // Before the first logger is made.
        System.setProperty("spg99.log.dir", directory.logs().toString());
        try {
            OsUser user = OsUser.forPostgres();
            return new Start(options, directory, directory.placeForPostgres(user::canReach), user, progress).run();
        } catch (CompletionException e) {
            Throwable cause = Objects.requireNonNullElse(e.getCause(), e);
            throw new IOException("the platform did not start: " + cause.getMessage(), cause);
        }
    }

    /** What happens at a start; independent steps side by side, since most of them wait. */
    private record Start(
            Options options, DataDirectory directory, Path postgres, OsUser user, Consumer<String> progress) {

        DevPlatform run() throws IOException {
            Logger log = LoggerFactory.getLogger(DevPlatform.class);
            JournalPostgres.Address address =
                    JournalPostgres.chooseAddress(HexFormat.of().formatHex(directory.secret("journal.password", 16)));
            String apiKey =
                    "spg99_" + Base64.getUrlEncoder().withoutPadding().encodeToString(directory.secret("api.key", 32));
            try (ExecutorService steps = Executors.newVirtualThreadPerTaskExecutor()) {
                CompletableFuture<PostgresBinaries> binaries = step(steps, () -> {
                    if (!postgres.resolve("binaries").toFile().isDirectory()) {
                        progress.accept("Unpacking PostgreSQL and making the first cluster (first start only) …");
                    }
                    return PostgresBinaries.unpack(postgres.resolve("binaries"));
                });
                CompletableFuture<JournalPostgres> journal = binaries.thenApplyAsync(
                        unpacked ->
                                call(() -> JournalPostgres.start(unpacked, user, postgres.resolve("journal"), address)),
                        steps);
                // Meanwhile: the first cluster takes longest.
                PlatformPki pki = PlatformPki.open(directory.pki(), Clock.systemUTC());
                NodeSettings settings = new NodeSettings(
                        "dev",
                        member(),
                        directory.root(),
                        postgres,
                        SafekeeperId.ALL.stream().map(SafekeeperId::value).toList(),
                        options.httpPort(),
                        options.gatewayPort(),
                        options.idleTimeout(),
                        new NodeSettings.Journal(address.jdbcUrl(), address.user(), address.password()),
                        directory.secret("master.key", 32),
                        apiKey);
                Node node = Node.start(settings, pki, binaries, user, journal.thenApply(started -> null));
                log.info("dev platform runs: data={} instance={}", directory.root(), directory.instance());
                return new DevPlatform(options, directory, journal.join(), node, pki, apiKey);
            }
        }

        private MemberSettings member() {
            EnumSet<Role> others =
                    options.external() ? EnumSet.of(Role.SAFEKEEPER, Role.GENERATION) : EnumSet.of(Role.GENERATION);
            return new MemberSettings(EnumSet.complementOf(others), HOST, options.clusterPort(), List.of());
        }
    }

    /**
     * Waits for two Safekeepers, makes the demo database if this is the first start, and says how to reach it in {@code dev.json}.
     *
     * @param progress told if there is something to wait for
     * @return what the user needs to know to begin
     */
    public String open(Consumer<String> progress) throws IOException {
        CompletableFuture<Void> quorum = node.quorum().toCompletableFuture();
        if (options.external() && !quorum.isDone()) {
            progress.accept(howToStartSafekeepers());
        }
        quorum.join();
        Map<String, @Nullable Object> access = access();
        directory.writeDevFile(access);
        return welcome(access);
    }

    private Map<String, @Nullable Object> access() throws IOException {
        String apiUrl = "http://" + HOST + ":" + options.httpPort();
        Map<String, @Nullable Object> access = new LinkedHashMap<>();
        access.put("api_url", apiUrl);
        access.put("api_key", apiKey);
        access.put("console_url", apiUrl + "/");
        access.put("gateway_host", HOST);
        access.put("gateway_port", options.gatewayPort());
        access.put("gateway_ca", pki.caCertificate().toString());
        String dsn = demo(apiUrl);
        access.put("tenant", dsn == null ? null : TENANT);
        access.put("database", dsn == null ? null : DATABASE);
        access.put("dsn", dsn);
        return access;
    }

    /** Made once; who has deleted it does not get it again, and there is no DSN then. */
    private @Nullable String demo(String apiUrl) throws IOException {
        if (!directory.hasDemo()) {
            DemoDatabase.make(apiUrl, apiKey, TENANT, DATABASE);
            directory.demoMade();
        }
        return DemoDatabase.dsn(apiUrl, apiKey, TENANT, DATABASE).orElse(null);
    }

    /** Stops and wakes the demo database {@code rounds} times, for the sake of what the JVM learns by it. */
    public void train(int rounds) throws IOException {
        DemoDatabase.train("http://" + HOST + ":" + options.httpPort(), apiKey, TENANT, DATABASE, rounds);
    }

    private String howToStartSafekeepers() {
        String commands = SafekeeperId.ALL.stream()
                .map(id ->
                        "  ./spg99 node --roles safekeeper --safekeeper-id %s --data \"%s\" --pki \"%s\" --seeds %s:%d"
                                .formatted(
                                        id,
                                        directory.safekeeper(id.value()),
                                        directory.pki(),
                                        HOST,
                                        options.clusterPort()))
                .collect(Collectors.joining("\n"));
        return "Waiting for two of the three Safekeepers. To start them, each in a terminal of its own:\n\n" + commands
                + "\n";
    }

    private interface Step<T> {
        T run() throws IOException;
    }

    private static <T> T call(Step<T> step) {
        try {
            return step.run();
        } catch (IOException e) {
            throw new CompletionException(e);
        }
    }

    private static <T> CompletableFuture<T> step(ExecutorService executor, Step<T> step) {
        return CompletableFuture.supplyAsync(() -> call(step), executor);
    }

    /** What {@code dev.json} says, but for the API key: this goes to terminals and their logs. */
    private String welcome(Map<String, @Nullable Object> access) {
        Object dsn = access.get("dsn");
        return """

                SPG99 is ready. Everything is in %s

                  API      %s   (key in dev.json)
                  Console  %s
                  Gateway  %s:%s   (CA: %s)
                  Demo     %s

                Ctrl-C stops everything in order.""".formatted(
                        directory.root(),
                        access.get("api_url"),
                        access.get("console_url"),
                        access.get("gateway_host"),
                        access.get("gateway_port"),
                        access.get("gateway_ca"),
                        dsn == null
                                ? "was deleted; --reset brings it back, and forgets everything else"
                                : "tenant %s, database %s%n%n  psql \"%s\""
                                        .formatted(access.get("tenant"), access.get("database"), dsn));
    }

    /** Completes when the node no longer works: after {@link #stop}, or because its cluster has excluded it. */
    public CompletionStage<?> ended() {
        return node.ended();
    }

    /** Makes the end of the JVM (SIGINT, SIGTERM) an orderly one; it ends when {@link #stop} has returned. */
    public void stopAtJvmShutdown(Runnable before) {
        node.onJvmShutdown(() -> {
            before.run();
            stop();
        });
    }

    /** Stops everything in order, in less than 10 s. */
    public void stop() {
        Deadline deadline = Deadline.in(STOP_LIMIT);
        node.stop(deadline.before(JOURNAL_STOP_SHARE));
        journal.stop(deadline.left());
        directory.close();
    }
}
