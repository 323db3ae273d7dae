package io.spg99.lifecycle.catalog;

import com.fasterxml.jackson.core.JsonProcessingException;
import io.spg99.lifecycle.model.DatabaseChange;
import io.spg99.lifecycle.model.Json;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionStage;
import org.apache.pekko.Done;

/** What happened to databases, in order; the newest {@link #KEPT} of it. */
public final class EventRows {

    /** Some days of a busy installation; tens of MB. */
    static final long KEPT = 100_000;

    /** Key of the advisory lock that makes the order of numbers that of visibility: "spg99evt" in ASCII. */
    private static final long LOCK = 0x7370673939657674L;

    /** @param json as it is sent */
    public record Row(long id, String json) {}

    private final Sql sql;

    EventRows(Sql sql) {
        this.sql = sql;
    }

    public CompletionStage<Done> add(DatabaseChange change) {
        return sql.transaction(connection -> {
            try (PreparedStatement lock = connection.prepareStatement("SELECT pg_advisory_xact_lock(?)");
                    PreparedStatement insert = connection.prepareStatement(
                            "INSERT INTO catalog.event (at, body) VALUES (?, ?::jsonb) RETURNING id");
                    PreparedStatement forget = connection.prepareStatement("DELETE FROM catalog.event WHERE id <= ?")) {
                lock.setLong(1, LOCK);
                lock.execute();
                insert.setTimestamp(1, Timestamp.from(change.at()));
                insert.setString(2, write(change));
                try (ResultSet row = insert.executeQuery()) {
                    row.next();
                    forget.setLong(1, row.getLong(1) - KEPT);
                }
                forget.executeUpdate();
                return Done.getInstance();
            }
        });
    }

    /** Number of the newest; zero if there is none. */
    public CompletionStage<Long> last() {
        return sql.transaction(connection -> {
            try (PreparedStatement select =
                    connection.prepareStatement("SELECT coalesce(max(id), 0) FROM catalog.event")) {
                return number(select);
            }
        });
    }

    /** Number of the last one before {@code since}. */
    public CompletionStage<Long> lastBefore(Instant since) {
        return sql.transaction(connection -> {
            try (PreparedStatement select =
                    connection.prepareStatement("SELECT coalesce(max(id), 0) FROM catalog.event WHERE at < ?")) {
                select.setTimestamp(1, Timestamp.from(since));
                return number(select);
            }
        });
    }

    private static long number(PreparedStatement select) throws SQLException {
        try (ResultSet row = select.executeQuery()) {
            row.next();
            return row.getLong(1);
        }
    }

    /** In order. */
    public CompletionStage<List<Row>> after(long id, int limit) {
        return sql.transaction(connection -> {
            try (PreparedStatement select = connection.prepareStatement(
                    "SELECT id, body FROM catalog.event WHERE id > ? ORDER BY id LIMIT ?")) {
                select.setLong(1, id);
                select.setInt(2, limit);
                List<Row> found = new ArrayList<>();
                try (ResultSet rows = select.executeQuery()) {
                    while (rows.next()) {
                        found.add(new Row(rows.getLong(1), rows.getString(2)));
                    }
                }
                return found;
            }
        });
    }

    private static String write(DatabaseChange change) {
        try {
            return Json.MAPPER.writeValueAsString(change);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("not written as JSON: kind=" + change.kind(), e);
        }
    }
}
