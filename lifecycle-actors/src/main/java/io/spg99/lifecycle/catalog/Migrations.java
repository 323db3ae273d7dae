package io.spg99.lifecycle.catalog;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;

/** Brings the catalog's tables to what this program needs: numbered SQL files, each run once, in its own transaction. */
final class Migrations {

    /** In this order; the number of a file is its version. Never change one that was released. */
    private static final List<String> FILES = List.of("001-catalog.sql", "002-event.sql");

    /** Key of the advisory lock under which one node migrates while the others wait: "spg99cat" in ASCII. */
    private static final long LOCK = 0x7370673939636174L;

    private Migrations() {}

    /** @throws SQLException also if the tables are newer than this program */
    static void run(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("SELECT pg_advisory_lock(" + LOCK + ")");
            try {
                statement.execute("CREATE SCHEMA IF NOT EXISTS catalog");
                statement.execute("CREATE TABLE IF NOT EXISTS catalog.migration"
                        + " (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())");
                int version = version(statement);
                if (version > FILES.size()) {
                    throw new SQLException("catalog is newer than this program: found=" + version + " known="
                            + FILES.size() + "; run the newer program");
                }
                for (int next = version + 1; next <= FILES.size(); next++) {
                    apply(connection, next);
                }
            } finally {
                statement.execute("SELECT pg_advisory_unlock(" + LOCK + ")");
            }
        }
    }

    private static int version(Statement statement) throws SQLException {
        try (ResultSet rows = statement.executeQuery("SELECT coalesce(max(version), 0) FROM catalog.migration")) {
            rows.next();
            return rows.getInt(1);
        }
    }

    private static void apply(Connection connection, int version) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement();
                PreparedStatement done =
                        connection.prepareStatement("INSERT INTO catalog.migration (version) VALUES (?)")) {
            statement.execute(script(FILES.get(version - 1)));
            done.setInt(1, version);
            done.executeUpdate();
            connection.commit();
        } catch (SQLException e) {
            connection.rollback();
            throw e;
        } finally {
            connection.setAutoCommit(true);
        }
    }

    private static String script(String file) {
        try (InputStream in = Migrations.class.getResourceAsStream(file)) {
            if (in == null) {
                throw new IllegalStateException("migration is missing from the program: file=" + file);
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
