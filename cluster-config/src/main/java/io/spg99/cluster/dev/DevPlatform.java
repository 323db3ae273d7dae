package io.spg99.cluster.dev;

import io.spg99.cluster.journal.JournalPostgres;
import io.spg99.cluster.node.Node;
import io.spg99.cluster.node.NodeSettings;
import io.spg99.cluster.node.Role;
import io.spg99.cluster.pki.PlatformPki;
import io.spg99.compute.postgres.OsUser;
import io.spg99.compute.postgres.PostgresBinaries;
import io.spg99.lifecycle.model.IdleTimeout;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.time.Clock;
import java.util.Base64;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The whole platform in this process: a journal's PostgreSQL, one node with every role, and a demo database. */
public final class DevPlatform {

    private static final String HOST = "127.0.0.1";
    private static final String TENANT = "demo";
    private static final String DATABASE = "app";

    /**
     * @param idleTimeout for databases without one of their own, as {@link IdleTimeout} reads it
     * @param reset       forget everything in {@code data} first
     */
    public record Options(Path data, int httpPort, int gatewayPort, String idleTimeout, boolean reset) {}

    private final DataDirectory directory;
    private final JournalPostgres journal;
    private final Node node;
    private final Map<String, Object> access;

    private DevPlatform(DataDirectory directory, JournalPostgres journal, Node node, Map<String, Object> access) {
        this.directory = directory;
        this.journal = journal;
        this.node = node;
        this.access = access;
    }

    /**
     * Starts everything and returns when a client can connect.
     *
     * @param progress told of each step that may take more than a moment
     * @throws UserError if the user must change something first
     */
    public static DevPlatform start(Options options, Consumer<String> progress) throws IOException {
        if (IdleTimeout.parse(options.idleTimeout()).isEmpty()) {
            throw new UserError("--idle-timeout %s: %s".formatted(options.idleTimeout(), IdleTimeout.RULE));
        }
        requireFree(options.httpPort(), "--http-port");
        requireFree(options.gatewayPort(), "--gateway-port");
        DataDirectory directory = DataDirectory.open(options.data(), options.reset());
        // Before the first logger is made.
        System.setProperty("spg99.log.dir", directory.logs().toString());
        try {
            OsUser user = OsUser.forPostgres();
            return new Start(options, directory, directory.placeForPostgres(user::canReach), user, progress).run();
        } catch (CompletionException e) {
            directory.close();
            Throwable cause = Objects.requireNonNullElse(e.getCause(), e);
            throw new IOException("the platform did not start: " + cause.getMessage(), cause);
        } catch (IOException | RuntimeException e) {
            directory.close();
            throw e;
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
            PlatformPki pki = PlatformPki.open(directory.pki(), Clock.systemUTC());
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
                NodeSettings settings = new NodeSettings(
                        "dev",
                        EnumSet.allOf(Role.class),
                        HOST,
                        0,
                        List.of(),
                        directory.root(),
                        postgres,
                        List.of("sk1", "sk2", "sk3"),
                        options.httpPort(),
                        options.gatewayPort(),
                        options.idleTimeout(),
                        new NodeSettings.Journal(address.jdbcUrl(), address.user(), address.password()),
                        directory.secret("master.key", 32),
                        apiKey);
                Node node = Node.start(settings, pki, binaries, user, journal.thenApply(started -> null));
                try {
                    Map<String, Object> access = access(pki, apiKey);
                    directory.writeDevFile(access);
                    log.info("dev platform ready: data={} instance={}", directory.root(), directory.instance());
                    return new DevPlatform(directory, journal.join(), node, access);
                } catch (IOException | RuntimeException e) {
                    node.stop();
                    journal.join().stop();
                    throw e;
                }
            }
        }

        private Map<String, Object> access(PlatformPki pki, String apiKey) throws IOException {
            String apiUrl = "http://" + HOST + ":" + options.httpPort();
            Map<String, Object> access = new LinkedHashMap<>();
            access.put("api_url", apiUrl);
            access.put("api_key", apiKey);
            access.put("console_url", apiUrl + "/");
            access.put("gateway_host", HOST);
            access.put("gateway_port", options.gatewayPort());
            access.put("gateway_ca", pki.caCertificate().toString());
            access.put("tenant", TENANT);
            access.put("database", DATABASE);
            access.put("dsn", DemoDatabase.ensure(apiUrl, apiKey, TENANT, DATABASE));
            return access;
        }
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

    private static void requireFree(int port, String option) {
        try (ServerSocket socket = new ServerSocket()) {
            socket.setReuseAddress(true);
            socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
        } catch (IOException | IllegalArgumentException e) {
            throw new UserError("port %d is in use or not allowed: stop what uses it, or choose another with %s N"
                    .formatted(port, option));
        }
    }

    /** What the user needs to know to begin. */
    public String welcome() {
        return """

                SPG99 is ready. Everything is in %s

                  API      %s   (key in dev.json)
                  Gateway  %s:%s   (CA: %s)

                  psql "%s"

                Ctrl-C stops everything in order.""".formatted(
                        directory.root(),
                        access.get("api_url"),
                        access.get("gateway_host"),
                        access.get("gateway_port"),
                        access.get("gateway_ca"),
                        access.get("dsn"));
    }

    /** Stops everything in order, within 10 s. */
    public void stop() {
        node.stop();
        journal.stop();
        directory.close();
    }
}
