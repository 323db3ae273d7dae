package io.spg99.compute.testing;

import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.tls.TlsIdentity;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Objects;
import java.util.Properties;
import org.postgresql.Driver;

/** SQL clients. */
public final class TestClients {

    private TestClients() {}

    static Properties tls(TlsIdentity identity) {
        Properties properties = new Properties();
        properties.setProperty("sslmode", "verify-ca");
        properties.setProperty("sslrootcert", identity.ca().toString());
        properties.setProperty("sslcert", identity.certificate().toString());
        properties.setProperty("sslkey", identity.keyDer().toString());
        properties.setProperty("loginTimeout", "10");
        return properties;
    }

    /** Connects as the Gateway does: with its certificate, as the tenant's role. */
    public static Connection connect(WriterAddress writer, TlsIdentity identity, String database, String role)
            throws SQLException {
        Properties properties = tls(identity);
        properties.setProperty("user", role);
        String name = java.net.URLEncoder.encode(database, java.nio.charset.StandardCharsets.UTF_8);
        return Objects.requireNonNull(new Driver()
                .connect("jdbc:postgresql://" + writer.host() + ":" + writer.port() + "/" + name, properties));
    }

    /** Runs one statement. */
    public static void run(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    /** First column of the first row, as text. */
    public static String ask(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return String.valueOf(rows.getString(1));
        }
    }
}
