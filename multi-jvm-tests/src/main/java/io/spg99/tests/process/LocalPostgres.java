package io.spg99.tests.process;

import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.postgres.Programs;
import io.spg99.storage.readthrough.RelationFile;
import io.spg99.storage.tls.TlsIdentity;
import java.io.IOException;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Stock PostgreSQL 17 over a local directory, as one would run it without SPG99: the yardstick of the benchmarks. */
public final class LocalPostgres implements AutoCloseable {

    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final PostgresBinaries binaries;
    private final OsUser user;
    private final Path data;
    private final int port;
    private final Map<String, String> settings = new HashMap<>();
    private Map<String, String> environment = Map.of();
    private @Nullable PostgresProcess server;

    private LocalPostgres(PostgresBinaries binaries, OsUser user, Path data, int port) {
        this.binaries = binaries;
        this.user = user;
        this.data = data;
        this.port = port;
    }

    /** Makes a cluster in a new directory, with PostgreSQL's own settings. */
    public static LocalPostgres create(Path directory) throws IOException {
        OsUser user = OsUser.forPostgres();
        for (Path path : List.of(directory.getParent() == null ? directory : directory.getParent(), directory)) {
            Files.createDirectories(path);
            Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rwxr-xr-x"));
        }
        PostgresBinaries binaries = PostgresBinaries.unpack(directory);
        Path parent = user.createPrivateDirectory(directory.resolve("cluster"));
        Path data = parent.resolve("data");
        Programs.run(
                user.command(List.of(
                        binaries.program("initdb").toString(),
                        "--pgdata=" + data,
                        "--username=local",
                        "--auth=trust",
                        "--locale=C",
                        "--locale-provider=builtin",
                        "--builtin-locale=C.UTF-8",
                        "--encoding=UTF8")),
                PostgresProcess.environment(),
                "",
                LIMIT);
        return new LocalPostgres(binaries, user, data, PostgresProcess.freePort(InetAddress.getLoopbackAddress()));
    }

    /**
     * A copy of this server, which must be stopped, as its hot standby; it streams from it once both run.
     *
     * @param directory its own, new
     * @param name      its {@code application_name} at the primary
     */
    public LocalPostgres standby(Path directory, String name) throws IOException {
        Path parent = user.createPrivateDirectory(directory);
        Path copy = parent.resolve("data");
        Programs.run(
                List.of("/bin/cp", "-a", data.toString(), copy.toString()), PostgresProcess.environment(), "", LIMIT);
        user.writePrivate(copy.resolve("standby.signal"), new byte[0]);
        LocalPostgres standby =
                new LocalPostgres(binaries, user, copy, PostgresProcess.freePort(InetAddress.getLoopbackAddress()));
        standby.settings.put(
                "primary_conninfo", "host=127.0.0.1 port=%d user=local application_name=%s".formatted(port, name));
        return standby;
    }

    /**
     * A copy of this server, which must be stopped, without its relation files.
     *
     * @param directory   its own, new
     * @param environment of its processes
     * @param sizes       is given the files that are missing, and their sizes in blocks
     */
    public LocalPostgres withoutRelations(
            Path directory, Map<String, String> environment, Map<RelationFile, Integer> sizes) throws IOException {
        Path copy = user.createPrivateDirectory(directory).resolve("data");
        user.createPrivateDirectory(copy);
        try (Stream<Path> paths = Files.walk(data)) {
            for (Path path : paths.skip(1).toList()) {
                String name = data.relativize(path).toString();
                Optional<RelationFile> file = RelationFile.parse(name);
                if (Files.isDirectory(path)) {
                    user.createPrivateDirectory(copy.resolve(name));
                } else if (file.isPresent()) {
                    sizes.put(file.get(), Math.toIntExact(Files.size(path) / RelationFile.BLOCK));
                } else {
                    Files.copy(path, copy.resolve(name));
                    user.own(copy.resolve(name));
                }
            }
        }
        LocalPostgres server =
                new LocalPostgres(binaries, user, copy, PostgresProcess.freePort(InetAddress.getLoopbackAddress()));
        server.environment = Map.copyOf(environment);
        return server;
    }

    public Path data() {
        return data;
    }

    public OsUser user() {
        return user;
    }

    /** Starts the server and returns when it says that it accepts connections; no standby does. */
    public void start() throws IOException {
        PostgresProcess started = launch();
        try {
            started.ready().toCompletableFuture().get(LIMIT.toSeconds(), TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException | InterruptedException e) {
            throw new IOException("the local PostgreSQL did not start: " + started.lastError(), e);
        }
    }

    /** Starts the server and returns at once. */
    public PostgresProcess launch() throws IOException {
        Map<String, String> all = new HashMap<>(settings);
        all.put("listen_addresses", "127.0.0.1");
        all.put("port", String.valueOf(port));
        all.put("unix_socket_directories", socketDirectory().toString());
        PostgresProcess started = PostgresProcess.start(
                new PostgresProcess.Launch(binaries, user, data, environment, all, false, line -> {}));
        server = started;
        return started;
    }

    /** A setting for the next {@link #start}. */
    public void set(String name, String value) {
        settings.put(name, value);
    }

    /** TLS for whoever asks for it, from the next {@link #start} on. Its files can be read as the server's user. */
    public void useTls(TlsIdentity identity) throws IOException {
        user.writePrivate(certificate(), Files.readAllBytes(identity.certificate()));
        user.writePrivate(key(), Files.readAllBytes(identity.key()));
        set("ssl", "on");
        set("ssl_cert_file", certificate().toString());
        set("ssl_key_file", key().toString());
    }

    public Path certificate() {
        return socketDirectory().resolve("server.pem");
    }

    public Path key() {
        return socketDirectory().resolve("server.key");
    }

    /** Where its Unix socket is. */
    public Path socketDirectory() {
        return Objects.requireNonNull(data.getParent());
    }

    public int port() {
        return port;
    }

    public Connection connect() throws SQLException {
        return DriverManager.getConnection(
                "jdbc:postgresql://127.0.0.1:%d/postgres?sslmode=disable".formatted(port), "local", "");
    }

    /** Fast shutdown, and waits for it. */
    public void stop() throws IOException {
        PostgresProcess running = server;
        if (running == null) {
            return;
        }
        server = null;
        try {
            running.stop(PostgresProcess.Stop.FAST, LIMIT)
                    .toCompletableFuture()
                    .get(LIMIT.toSeconds(), TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException | InterruptedException e) {
            throw new IOException("the local PostgreSQL did not stop", e);
        }
    }

    @Override
    public void close() throws IOException {
        stop();
    }
}
