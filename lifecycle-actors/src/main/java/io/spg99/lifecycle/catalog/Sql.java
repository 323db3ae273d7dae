package io.spg99.lifecycle.catalog;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Runs transactions on threads of its own, as many as there are connections; what waits for them is bounded. */
final class Sql implements AutoCloseable {

    /** PostgreSQL's unique_violation. */
    private static final String UNIQUE_VIOLATION = "23505";

    @FunctionalInterface
    interface Work<T> {
        T run(Connection connection) throws SQLException;
    }

    private final HikariDataSource connections;
    private final ThreadPoolExecutor threads;

    Sql(CatalogSettings settings) {
        HikariConfig config = new HikariConfig();
        config.setPoolName("catalog");
        config.setJdbcUrl(settings.jdbcUrl());
        config.setUsername(settings.user());
        config.setPassword(settings.password());
        config.setMaximumPoolSize(settings.poolSize());
        config.setConnectionTimeout(settings.connectionTimeout().toMillis());
        config.setAutoCommit(true);
        config.addDataSourceProperty("ApplicationName", "spg99-catalog");
        config.addDataSourceProperty("socketTimeout", "30");
        connections = new HikariDataSource(config);
        AtomicInteger number = new AtomicInteger();
        threads = new ThreadPoolExecutor(
                settings.poolSize(),
                settings.poolSize(),
                0,
                TimeUnit.SECONDS,
                new ArrayBlockingQueue<>(settings.queueSize()),
                work -> {
                    Thread thread = new Thread(work, "catalog-" + number.incrementAndGet());
                    thread.setDaemon(true);
                    return thread;
                });
    }

    /** On the caller's thread, each statement its own transaction: for the migration at start. */
    void migrate() throws SQLException {
        try (Connection connection = connections.getConnection()) {
            Migrations.run(connection);
        }
    }

    /**
     * Runs one transaction. The stage fails with what {@code work} threw if that is a {@link RuntimeException}, else with
     * {@link CatalogUnavailable}.
     */
    <T> CompletionStage<T> transaction(Work<T> work) {
        CompletableFuture<T> result = new CompletableFuture<>();
        try {
            threads.execute(() -> complete(result, work));
        } catch (RejectedExecutionException e) {
            result.completeExceptionally(new CatalogUnavailable("too many requests wait for the catalog", e));
        }
        return result;
    }

    private <T> void complete(CompletableFuture<T> result, Work<T> work) {
        try (Connection connection = connections.getConnection()) {
            result.complete(inTransaction(connection, work));
        } catch (SQLException e) {
            result.completeExceptionally(new CatalogUnavailable("the catalog cannot be asked: " + e.getMessage(), e));
        } catch (RuntimeException e) {
            result.completeExceptionally(e);
        }
    }

    private static <T> T inTransaction(Connection connection, Work<T> work) throws SQLException {
        connection.setAutoCommit(false);
        boolean done = false;
        try {
            T value = work.run(connection);
            connection.commit();
            done = true;
            return value;
        } finally {
            if (!done) {
                connection.rollback();
            }
            connection.setAutoCommit(true);
        }
    }

    static boolean isDuplicate(SQLException e) {
        return UNIQUE_VIOLATION.equals(e.getSQLState());
    }

    @Override
    public void close() {
        threads.shutdownNow();
        connections.close();
    }
}
