package io.spg99.storage.readthrough;

import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.postgres.Programs;
import io.spg99.storage.postgres.TestServers;
import io.spg99.storage.socket.UnixSocketFactory;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import org.postgresql.Driver;

/** A data directory with PostgreSQL over it, with or without read-through. */
final class TestCluster implements AutoCloseable {

    private static final Map<String, String> SETTINGS = Map.of(
            "listen_addresses", "",
            "unix_socket_directories", ".",
            "fsync", "off",
            "full_page_writes", "off",
            "shared_buffers", "32MB",
            "max_wal_size", "2GB");

    private final TestServers servers = TestServers.shared();
    final Path pgdata;
    private final Map<String, String> environment;
    private final PostgresProcess server;

    private TestCluster(Path pgdata, Map<String, String> environment) throws Exception {
        this.pgdata = pgdata;
        this.environment = environment;
        this.server = PostgresProcess.start(new PostgresProcess.Launch(
                servers.binaries(), servers.user(), pgdata, environment, SETTINGS, false, line -> {}));
        server.ready().toCompletableFuture().get(30, TimeUnit.SECONDS);
    }

    static TestCluster start(Path pgdata, Map<String, String> environment) throws Exception {
        return new TestCluster(pgdata, environment);
    }

    static Path initdb() throws IOException {
        TestServers servers = TestServers.shared();
        Path pgdata = servers.user()
                .createPrivateDirectory(servers.directory("original").resolve("pgdata"));
        Programs.run(
                servers.user()
                        .command(List.of(
                                servers.binaries().program("initdb").toString(),
                                "-D",
                                pgdata.toString(),
                                "-U",
                                "postgres",
                                "--no-sync",
                                "--auth=trust")),
                PostgresProcess.environment(),
                "",
                Duration.ofMinutes(1));
        return pgdata;
    }

    /** Everything of a data directory but its relation files, and these files' sizes. */
    static SortedMap<RelationFile, Integer> copyWithoutRelations(Path original, Path copy) throws IOException {
        TestServers servers = TestServers.shared();
        SortedMap<RelationFile, Integer> sizes = new TreeMap<>();
        servers.user().createPrivateDirectory(copy);
        try (Stream<Path> paths = Files.walk(original)) {
            for (Path path : paths.skip(1).toList()) {
                String name = original.relativize(path).toString();
                Optional<RelationFile> file = RelationFile.parse(name);
                if (Files.isDirectory(path)) {
                    servers.user().createPrivateDirectory(copy.resolve(name));
                } else if (file.isPresent()) {
                    sizes.put(file.get(), Math.toIntExact(Files.size(path) / RelationFile.BLOCK));
                } else {
                    Files.copy(path, copy.resolve(name));
                    servers.user().own(copy.resolve(name));
                }
            }
        }
        return sizes;
    }

    /** Reads the files of a data directory on which no server runs. */
    static BlockSource source(Path original) {
        return (file, first, count) -> CompletableFuture.supplyAsync(() -> {
            ByteBuffer blocks = ByteBuffer.allocateDirect(count * RelationFile.BLOCK);
            try (FileChannel channel = FileChannel.open(original.resolve(file.path()), StandardOpenOption.READ)) {
                while (blocks.hasRemaining()) {
                    if (channel.read(blocks, (long) first * RelationFile.BLOCK + blocks.position()) < 0) {
                        throw new IOException("short file: file=" + file);
                    }
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            return blocks.flip();
        });
    }

    Connection connect(String database) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", "postgres");
        properties.setProperty("socketFactory", UnixSocketFactory.class.getName());
        properties.setProperty(
                "socketFactoryArg", pgdata.resolve(".s.PGSQL.5432").toString());
        properties.setProperty("sslmode", "disable");
        properties.setProperty("gssEncMode", "disable");
        Connection connection = new Driver().connect("jdbc:postgresql://localhost/" + database, properties);
        if (connection == null) {
            throw new SQLException("PgJDBC does not know its own URL");
        }
        return connection;
    }

    void execute(String... statements) throws SQLException {
        try (Connection connection = connect("postgres");
                Statement statement = connection.createStatement()) {
            for (String sql : statements) {
                statement.execute(sql);
            }
        }
    }

    String query(String database, String sql) throws SQLException {
        try (Connection connection = connect(database);
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(sql)) {
            StringBuilder text = new StringBuilder();
            while (rows.next()) {
                text.append(rows.getString(1)).append('\n');
            }
            return text.toString().strip();
        }
    }

    String query(String sql) throws SQLException {
        return query("postgres", sql);
    }

    /** Bytes that a directory takes on disk. */
    static long diskUse(Path directory) throws IOException {
        String words = Programs.run(
                List.of("/usr/bin/du", "-s", "-B1", directory.toString()), Map.of(), "", Duration.ofSeconds(30));
        return Long.parseLong(words.split("\\s", 2)[0]);
    }

    boolean isAlive() {
        return server.isAlive();
    }

    TestCluster restart() throws Exception {
        close();
        return new TestCluster(pgdata, environment);
    }

    @Override
    public void close() throws IOException {
        try {
            server.stop(PostgresProcess.Stop.FAST, Duration.ofSeconds(30))
                    .toCompletableFuture()
                    .get(40, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while PostgreSQL stopped", e);
        } catch (ExecutionException | TimeoutException e) {
            throw new IOException("PostgreSQL did not stop", e);
        }
    }
}
