package io.spg99.gateway.server;

import java.sql.BatchUpdateException;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** What a client was shown, as lines of text that can be compared. */
final class Transcript {

    /** A step of a script. */
    interface Step {
        void run() throws Exception;
    }

    private final List<String> lines = new ArrayList<>();
    /** Runs before each step. */
    private final Step before;

    Transcript(Step before) {
        this.before = before;
    }

    List<String> lines() {
        return lines;
    }

    void add(Object line) {
        lines.add(String.valueOf(line));
    }

    /** An error is part of what is shown. */
    void step(Step step) throws Exception {
        before.run();
        try {
            step.run();
        } catch (SQLException e) {
            add("error " + e.getSQLState() + " " + e.getMessage());
            if (e instanceof BatchUpdateException batch) {
                add("counts " + Arrays.toString(batch.getUpdateCounts()));
            }
        }
    }

    /** Every result of a text. */
    void all(Statement statement, String sql) throws Exception {
        step(() -> {
            boolean rows = statement.execute(sql);
            while (rows || statement.getUpdateCount() >= 0) {
                if (rows) {
                    rows(statement.getResultSet());
                } else {
                    add("count " + statement.getUpdateCount());
                }
                rows = statement.getMoreResults();
            }
            for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning()) {
                add("warning " + warning.getSQLState() + " " + warning.getMessage());
            }
        });
    }

    void query(PreparedStatement statement, Object... parameters) throws Exception {
        step(() -> {
            for (int i = 0; i < parameters.length; i++) {
                statement.setObject(i + 1, parameters[i]);
            }
            if (statement.execute()) {
                rows(statement.getResultSet());
            } else {
                add("count " + statement.getUpdateCount());
            }
        });
    }

    void rows(ResultSet rows) throws SQLException {
        ResultSetMetaData columns = rows.getMetaData();
        for (int i = 1; i <= columns.getColumnCount(); i++) {
            add("column " + columns.getColumnName(i) + " " + columns.getColumnTypeName(i));
        }
        while (rows.next()) {
            StringBuilder line = new StringBuilder("row");
            for (int i = 1; i <= columns.getColumnCount(); i++) {
                line.append('|').append(rows.getString(i));
            }
            add(line);
        }
        rows.close();
    }
}
