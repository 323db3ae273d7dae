package io.spg99.cluster.journal;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.postgres.PostgresLog;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.postgres.Programs;
import java.io.IOException;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The PostgreSQL that a {@code dev} platform starts for its own journal and catalog: an ordinary, durable server on the
 * loopback address, with a password. It ends with this JVM, however that ends.
 */
public final class JournalPostgres {

    private static final Logger LOG = LoggerFactory.getLogger(JournalPostgres.class);

    private static final String USER = "spg99";
    private static final Duration INITDB_LIMIT = Duration.ofSeconds(60);
    private static final Duration START_LIMIT = Duration.ofSeconds(60);

    private final PostgresProcess server;
    private final Path directory;

    private JournalPostgres(PostgresProcess server, Path directory) {
        this.server = server;
        this.directory = directory;
    }

    /** How to reach the server. */
    public record Address(int port, String password) {
        public String jdbcUrl() {
            return "jdbc:postgresql://127.0.0.1:" + port + "/postgres?sslmode=disable&ApplicationName=spg99-node";
        }

        public String user() {
            return USER;
        }

        @Override
        public String toString() {
            return "Address[port=" + port + "]";
        }
    }

    /** Chooses a free port. The address stays the same while this program runs. */
    public static Address chooseAddress(String password) throws IOException {
        return new Address(PostgresProcess.freePort(InetAddress.getLoopbackAddress()), password);
    }

    /**
     * Starts the server, making its cluster at the first start, and waits until it serves and has the journal's tables.
     * Blocks for a tenth of a second, at the first start for some seconds.
     *
     * @throws IOException if it does not start; the message has PostgreSQL's own reason
     */
    public static JournalPostgres start(PostgresBinaries binaries, OsUser user, Path directory, Address address)
            throws IOException {
        if (!Files.exists(directory.resolve("PG_VERSION"))) {
            initialize(binaries, user, directory, address.password());
        }
        PostgresProcess.removeRemains(directory);
        Files.deleteIfExists(directory.resolve("postmaster.pid"));
        PostgresProcess server = PostgresProcess.start(new PostgresProcess.Launch(
                binaries,
                user,
                directory,
                settings(address),
                false,
                PostgresLog.platformSink(Map.of("database", "journal"))));
        try {
            server.ready().toCompletableFuture().get(START_LIMIT.toSeconds(), TimeUnit.SECONDS);
            try (Connection connection =
                    DriverManager.getConnection(address.jdbcUrl(), address.user(), address.password())) {
                JournalSchema.create(connection);
            }
            return new JournalPostgres(server, directory);
        } catch (ExecutionException | TimeoutException | SQLException | InterruptedException e) {
            server.kill();
            throw new IOException("the journal's PostgreSQL did not start: " + server.lastError(), e);
        }
    }

    private static Map<String, String> settings(Address address) {
        return Map.ofEntries(
                Map.entry("listen_addresses", "127.0.0.1"),
                Map.entry("port", String.valueOf(address.port())),
                Map.entry("unix_socket_directories", ""),
                Map.entry("dynamic_shared_memory_type", "mmap"),
                Map.entry("shared_buffers", "32MB"),
                Map.entry("max_connections", "60"),
                Map.entry("max_wal_size", "256MB"),
                Map.entry("min_wal_size", "32MB"),
                Map.entry("wal_level", "minimal"),
                Map.entry("max_wal_senders", "0"),
                // Its messages go to the log, where only the unusual ones are wanted.
                Map.entry("log_checkpoints", "off"));
    }

    private static void initialize(PostgresBinaries binaries, OsUser user, Path directory, String password)
            throws IOException {
        Path unfinished = directory.resolveSibling(directory.getFileName() + ".new");
        FileTree.delete(unfinished);
        user.createPrivateDirectory(unfinished);
        Path data = unfinished.resolve("data");
        Path passwordFile = unfinished.resolve("password");
        user.writePrivate(passwordFile, password.getBytes(StandardCharsets.UTF_8));
        Programs.run(
                user.command(List.of(
                        binaries.program("initdb").toString(),
                        "--pgdata=" + data,
                        "--username=" + USER,
                        "--pwfile=" + passwordFile,
                        "--auth-local=reject",
                        "--auth-host=scram-sha-256",
                        "--locale=C",
                        "--locale-provider=builtin",
                        "--builtin-locale=C.UTF-8",
                        "--encoding=UTF8")),
                PostgresProcess.environment(),
                "",
                INITDB_LIMIT);
        Files.move(data, directory, StandardCopyOption.ATOMIC_MOVE);
        FileTree.delete(unfinished);
    }

    /** Stops the server in order; if it does not obey within {@code limit} it is killed, which costs the next start some replay. */
    public void stop(Duration limit) {
        CompletableFuture<Integer> exit = server.stop(
                        PostgresProcess.Stop.FAST, limit.multipliedBy(2).dividedBy(3))
                .toCompletableFuture();
        try {
            exit.get(limit.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            kill();
        } catch (ExecutionException | TimeoutException e) {
            kill();
        }
    }

    /** The postmaster and its children together: alone, those that are frozen would outlive it. */
    private void kill() {
        try {
            PostgresProcess.removeRemains(directory);
        } catch (IOException e) {
            server.kill();
            LOG.warn("something of the journal's PostgreSQL may be left: {}", e.getMessage());
        }
    }
}
