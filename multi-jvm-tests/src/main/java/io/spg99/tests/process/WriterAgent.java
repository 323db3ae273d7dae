package io.spg99.tests.process;

import io.spg99.compute.image.BaseImages;
import io.spg99.storage.socket.UnixSocketFactory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import java.util.stream.Stream;

/** What the agent of a running generation sees: it is superuser over the compute's own Unix socket, and at its files. */
public final class WriterAgent {

    private final Path pgdata;

    private WriterAgent(Path pgdata) {
        this.pgdata = pgdata;
    }

    /** Of a generation that runs below a platform's data directory. */
    public static WriterAgent of(Path data, String databaseId, long generation) throws IOException {
        return new WriterAgent(data.resolve("postgres")
                .toRealPath()
                .resolve("run")
                .resolve(databaseId)
                .resolve(String.valueOf(generation)));
    }

    /** Of the demo database, which is awake. */
    public static WriterAgent ofDemo(DevProcess dev) throws IOException {
        var demo = dev.api().database(dev.get("tenant"), dev.get("database"));
        return of(dev.data(), demo.path("id").asText(), demo.path("generation").asLong());
    }

    /** PGDATA. */
    public Path directory() {
        return pgdata;
    }

    /** Size of the WAL on the compute's disk. */
    public long walMegabytes() throws IOException {
        try (Stream<Path> files = Files.list(pgdata.resolve("pg_wal"))) {
            return files.mapToLong(file -> file.toFile().length()).sum() >> 20;
        }
    }

    /** Makes PostgreSQL remove at once what WAL it need not keep. */
    public void checkpoint() throws IOException, SQLException {
        try (Connection connection = connect(BaseImages.AGENT_DATABASE);
                Statement statement = connection.createStatement()) {
            statement.execute("CHECKPOINT");
        }
    }

    public long number(String query) throws IOException, SQLException {
        try (Connection connection = connect(BaseImages.AGENT_DATABASE);
                Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(query)) {
            row.next();
            return row.getLong(1);
        }
    }

    /** As superuser, to one of the cluster's databases. */
    public Connection connect(String database) throws IOException, SQLException {
        try (Stream<Path> files = Files.list(pgdata)) {
            Path socket = files.filter(file -> file.getFileName().toString().matches("\\.s\\.PGSQL\\.[0-9]+"))
                    .findFirst()
                    .orElseThrow(() -> new IOException("no server runs in " + pgdata));
            Properties properties = new Properties();
            properties.setProperty("user", BaseImages.SUPERUSER);
            properties.setProperty("socketFactory", UnixSocketFactory.class.getName());
            properties.setProperty("socketFactoryArg", socket.toString());
            properties.setProperty("sslmode", "disable");
            return DriverManager.getConnection("jdbc:postgresql://localhost/" + database, properties);
        }
    }
}
