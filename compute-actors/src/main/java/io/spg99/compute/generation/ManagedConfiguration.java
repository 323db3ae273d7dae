package io.spg99.compute.generation;

import io.spg99.compute.image.BaseImages;
import io.spg99.storage.socket.UnixSocketFactory;
import java.io.IOException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import org.postgresql.Driver;

/**
 * What must hold inside every database: the tenant's role, without power over the server, owns the user's database. Reads
 * first and changes only what differs: a change commits, and a commit waits for two Safekeepers.
 */
final class ManagedConfiguration {

    /** Of what {@link #apply} makes hold. */
    static final int VERSION = 1;

    /** NULL where the role or the database does not exist. */
    private static final String READ = """
            SELECT (SELECT rolcanlogin AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
                           AND rolpassword IS NULL AND rolconnlimit = -1 AND (rolvaliduntil IS NULL OR rolvaliduntil = 'infinity')
                      FROM pg_authid WHERE rolname = ?) AS role_holds,
                   (SELECT pg_get_userbyid(datdba) = ? AND datallowconn AND NOT datistemplate AND datconnlimit = -1
                      FROM pg_database WHERE datname = ?) AS database_holds,
                   EXISTS (SELECT FROM pg_database WHERE datname = ?) AS unnamed
            """;

    private static final String ROLE_OPTIONS =
            " LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS PASSWORD NULL CONNECTION LIMIT -1";

    private enum Found {
        MISSING,
        DIFFERENT,
        HOLDS
    }

    /** For all of it: a stop waits for this. */
    private static final int SETTLE_LIMIT_MILLIS = 2000;

    private static final int SEQUENCES_AT_ONCE = 100;

    private static final String LOCK_NOT_AVAILABLE = "55P03";

    /**
     * Two statements for each sequence. The first changes nothing, but locks it: a value that another session took between the
     * reading of the last one and its writing would be given out again. Names are qualified, as the search path has none of the
     * tenant's schemas.
     */
    private static final String SEQUENCES = """
            SELECT format('ALTER SEQUENCE %s OWNER TO %I', oid::regclass, pg_get_userbyid(relowner)),
                format('SELECT setval(%L::regclass, last_value, is_called) FROM %s WHERE log_cnt > 0', oid::regclass,
                    oid::regclass)
            FROM pg_class WHERE relkind = 'S' AND relpersistence = 'p' ORDER BY oid""";

    /**
     * Who is still at work is ended by the shutdown anyway. Until then its transaction may keep sequences locked, and the values of
     * all of them would be lost. This program's own sessions have one name.
     */
    private static final String END_CLIENTS = """
            SELECT pg_terminate_backend(pid, %d) FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND application_name <> current_setting('application_name')""";

    /** For each that has not ended when all have been told to: until then it may still drop a sequence. */
    private static final int CLIENT_END_MILLIS = 500;

    /** Until their transactions are rolled back. */
    private static final String WAIT_FOR_THEM = "SET lock_timeout = 1000";

    private static final String RUNNING =
            "SELECT virtualxid FROM pg_locks WHERE locktype = 'virtualxid' AND granted AND pid <> pg_backend_pid()";

    private ManagedConfiguration() {}

    /**
     * Makes the managed configuration hold. Blocks; a caller that gives up interrupts the thread, which closes the
     * connection.
     *
     * @param socket the server's Unix socket
     */
    static void apply(GenerationSpec spec, Path socket) throws IOException, SQLException {
        try (Connection connection = connect(socket)) {
            List<String> changes = changes(connection, spec);
            if (!changes.isEmpty()) {
                connection.setAutoCommit(false);
                try (Statement statement = connection.createStatement()) {
                    for (String change : changes) {
                        statement.execute(change);
                    }
                }
                connection.commit();
            }
        }
    }

    /**
     * Writes the last value of every sequence to the WAL. PostgreSQL writes one that is up to 32 values ahead, and goes on from
     * that wherever it has replayed WAL instead of reading what a clean shutdown left on disk. Ends all other sessions. Blocks.
     */
    static void settleSequences(GenerationSpec spec, Path socket) throws SQLException {
        try (Connection connection = connectToSettle(spec, socket)) {
            endClients(connection);
            settleSequences(connection, sequences(connection));
        }
    }

    private static void endClients(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(END_CLIENTS.formatted(0));
            statement.execute(END_CLIENTS.formatted(CLIENT_END_MILLIS));
            statement.execute(WAIT_FOR_THEM);
        }
    }

    /** Every transaction holds a lock on its own virtual id, from before its first write to its end. Blocks. */
    static Set<String> runningTransactions(Path socket) throws IOException {
        Set<String> running = new HashSet<>();
        try (Connection connection = connect(socket)) {
            connection.setNetworkTimeout(Runnable::run, SETTLE_LIMIT_MILLIS);
            try (Statement statement = connection.createStatement();
                    ResultSet rows = statement.executeQuery(RUNNING)) {
                while (rows.next()) {
                    running.add(rows.getString(1));
                }
            }
        } catch (SQLException e) {
            throw new IOException("running transactions are not known", e);
        }
        return running;
    }

    /** To the tenant's database; what takes longer than a stop may wait fails. */
    static Connection connectToSettle(GenerationSpec spec, Path socket) throws SQLException {
        Connection connection = connect(socket, spec.databaseName(), "-c search_path=pg_catalog -c lock_timeout=100");
        connection.setNetworkTimeout(Runnable::run, SETTLE_LIMIT_MILLIS);
        return connection;
    }

    /** Statements that lock a sequence, and those that write its last value. */
    record Sequences(List<String> locks, List<String> writes) {}

    static Sequences sequences(Connection connection) throws SQLException {
        List<String> locks = new ArrayList<>();
        List<String> writes = new ArrayList<>();
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(SEQUENCES)) {
            while (rows.next()) {
                locks.add(rows.getString(1));
                writes.add(rows.getString(2));
            }
        }
        return new Sequences(locks, writes);
    }

    static void settleSequences(Connection connection, Sequences sequences) throws SQLException {
        List<String> locks = sequences.locks();
        try (Statement statement = connection.createStatement()) {
            for (int from = 0; from < locks.size(); from += SEQUENCES_AT_ONCE) {
                int to = Math.min(locks.size(), from + SEQUENCES_AT_ONCE);
                String writes = String.join(" UNION ALL ", sequences.writes().subList(from, to));
                try {
                    // Several statements at once are one transaction.
                    statement.execute(String.join(";", locks.subList(from, to)) + ";" + writes);
                } catch (SQLException e) {
                    if (!LOCK_NOT_AVAILABLE.equals(e.getSQLState())) {
                        throw e;
                    }
                    // A prepared transaction has it, and takes no more values. All others have ended.
                    statement.execute(writes);
                }
            }
        }
    }

    /** As the agent, to a database of its own. */
    static Connection connect(Path socket) throws SQLException {
        return connect(socket, BaseImages.AGENT_DATABASE, "");
    }

    private static Connection connect(Path socket, String database, String options) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", BaseImages.SUPERUSER);
        properties.setProperty("socketFactory", UnixSocketFactory.class.getName());
        properties.setProperty("socketFactoryArg", socket.toString());
        properties.setProperty("sslmode", "disable");
        properties.setProperty("gssEncMode", "disable");
        properties.setProperty("ApplicationName", "spg99-agent");
        // Fewer round trips: all is in the startup packet, and nothing is prepared.
        properties.setProperty("assumeMinServerVersion", "17");
        properties.setProperty("preferQueryMode", "simple");
        if (!options.isEmpty()) {
            properties.setProperty("options", options);
        }
        String name = URLEncoder.encode(database, StandardCharsets.UTF_8);
        Connection connection = new Driver().connect("jdbc:postgresql://localhost/" + name, properties);
        if (connection == null) {
            throw new SQLException("PgJDBC does not know its own URL");
        }
        return connection;
    }

    private static List<String> changes(Connection connection, GenerationSpec spec) throws SQLException {
        String role = quote(spec.roleName());
        String database = quote(spec.databaseName());
        try (PreparedStatement query = connection.prepareStatement(READ)) {
            query.setString(1, spec.roleName());
            query.setString(2, spec.roleName());
            query.setString(3, spec.databaseName());
            query.setString(4, BaseImages.USER_DATABASE);
            try (ResultSet row = query.executeQuery()) {
                row.next();
                List<String> changes = new ArrayList<>();
                switch (found(row, 1)) {
                    case MISSING -> changes.add("CREATE ROLE " + role + ROLE_OPTIONS);
                    case DIFFERENT -> changes.add("ALTER ROLE " + role + ROLE_OPTIONS + " VALID UNTIL 'infinity'");
                    case HOLDS -> {}
                }
                switch (found(row, 2)) {
                    case MISSING -> {
                        if (!row.getBoolean(3)) {
                            throw new SQLException("the user's database is missing: database=" + spec.databaseName());
                        }
                        changes.add("ALTER DATABASE " + BaseImages.USER_DATABASE + " RENAME TO " + database);
                        changes.add("ALTER DATABASE " + database + " OWNER TO " + role);
                    }
                    case DIFFERENT -> {
                        changes.add("ALTER DATABASE " + database
                                + " ALLOW_CONNECTIONS true IS_TEMPLATE false CONNECTION LIMIT -1");
                        changes.add("ALTER DATABASE " + database + " OWNER TO " + role);
                    }
                    case HOLDS -> {}
                }
                return changes;
            }
        }
    }

    private static Found found(ResultSet row, int column) throws SQLException {
        boolean holds = row.getBoolean(column);
        if (row.wasNull()) {
            return Found.MISSING;
        }
        return holds ? Found.HOLDS : Found.DIFFERENT;
    }

    private static String quote(String identifier) {
        return '"' + identifier.replace("\"", "\"\"") + '"';
    }
}
