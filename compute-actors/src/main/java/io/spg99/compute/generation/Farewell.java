package io.spg99.compute.generation;

import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A writer's way to the last of its WAL, for a handoff: clients wait while it is gone, so whatever can be done ahead is, a connection
 * whose backend has what it needs in its caches included. Everything here blocks.
 */
final class Farewell implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(Farewell.class);

    private static final String OLDEST_TRANSACTION = """
            SELECT (extract(epoch FROM max(clock_timestamp() - xact_start)) * 1000)::bigint FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()""";

    /** A commit that waits for two Safekeepers: they have all WAL before it then, that of asynchronous commits included. */
    private static final String LAST =
            "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'spg99', 'the end')";

    private final Connection connection;
    private final Optional<Duration> oldestTransaction;

    private Farewell(Connection connection, Optional<Duration> oldestTransaction) {
        this.connection = connection;
        this.oldestTransaction = oldestTransaction;
    }

    /** @param socket the server's Unix socket */
    static Farewell open(GenerationSpec spec, Path socket) throws SQLException {
        Connection connection = ManagedConfiguration.connectToSettle(spec, socket);
        try (Statement statement = connection.createStatement()) {
            ManagedConfiguration.sequences(connection);
            try (ResultSet row = statement.executeQuery(OLDEST_TRANSACTION)) {
                row.next();
                long millis = row.getLong(1);
                return new Farewell(
                        connection, row.wasNull() ? Optional.empty() : Optional.of(Duration.ofMillis(millis)));
            }
        } catch (SQLException | RuntimeException e) {
            connection.close();
            throw e;
        }
    }

    /** For how long a client's transaction had been running when this was opened; empty if none was. */
    Optional<Duration> oldestTransaction() {
        return oldestTransaction;
    }

    /**
     * Nobody uses the writer any more.
     *
     * @throws SQLException if it is not sure that two Safekeepers have everything
     */
    void say() throws SQLException {
        try {
            ManagedConfiguration.settleSequences(connection, ManagedConfiguration.sequences(connection));
        } catch (SQLException e) {
            LOG.info("sequences were not settled, some go on a few values later: reason={}", e.toString());
        }
        try (Statement statement = connection.createStatement()) {
            statement.execute(LAST);
        }
    }

    @Override
    public void close() {
        try {
            connection.close();
        } catch (SQLException e) {
            LOG.debug("connection is gone already", e);
        }
    }
}
