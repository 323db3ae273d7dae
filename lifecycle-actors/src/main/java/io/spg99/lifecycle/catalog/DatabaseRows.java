package io.spg99.lifecycle.catalog;

import com.fasterxml.jackson.core.JsonProcessingException;
import io.spg99.lifecycle.database.DatabaseCatalog;
import io.spg99.lifecycle.database.Lifecycle;
import io.spg99.lifecycle.model.DatabaseChange;
import io.spg99.lifecycle.model.DatabaseSpec;
import io.spg99.lifecycle.model.DatabaseView;
import io.spg99.lifecycle.model.Json;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.time.Clock;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
import org.apache.pekko.Done;

/** The list of databases: who has which, and what their actors last said. */
public final class DatabaseRows implements DatabaseCatalog {

    private static final String SELECT = "SELECT d.id, d.spec, d.state, d.view, d.created_at, t.deleting"
            + " FROM catalog.database d JOIN catalog.tenant t ON t.id = d.tenant_id ";

    private final Sql sql;
    private final Clock clock;
    private final TenantLogins logins;
    private final EventRows events;

    DatabaseRows(Sql sql, Clock clock, TenantLogins logins, EventRows events) {
        this.events = events;
        this.sql = sql;
        this.clock = clock;
        this.logins = logins;
    }

    /**
     * Enters a database that is about to be created. Fails with {@link CatalogConflict} if the name is taken or the tenant
     * is gone or going.
     */
    public CompletionStage<Done> add(DatabaseSpec spec) {
        return sql.transaction(connection -> {
                    try (PreparedStatement tenant = connection.prepareStatement(
                                    "SELECT FROM catalog.tenant WHERE id = ? AND NOT deleting FOR SHARE");
                            PreparedStatement insert = connection.prepareStatement("INSERT INTO catalog.database"
                                    + " (id, tenant_id, name, spec, state, generation, created_at)"
                                    + " VALUES (?, ?, ?, ?::jsonb, ?, 1, ?)")) {
                        tenant.setString(1, spec.tenantId());
                        try (ResultSet rows = tenant.executeQuery()) {
                            if (!rows.next()) {
                                throw new CatalogConflict("the tenant is being deleted: use another one");
                            }
                        }
                        insert.setString(1, spec.databaseId());
                        insert.setString(2, spec.tenantId());
                        insert.setString(3, spec.name());
                        insert.setString(4, write(spec));
                        insert.setString(5, Lifecycle.CREATING.word());
                        insert.setTimestamp(6, Timestamp.from(clock.instant()));
                        insert.executeUpdate();
                        return Done.getInstance();
                    } catch (SQLException e) {
                        if (Sql.isDuplicate(e)) {
                            throw new CatalogConflict("a database named \"" + spec.name()
                                    + "\" exists in this tenant: choose another name");
                        }
                        throw e;
                    }
                })
                .whenComplete((done, failure) -> logins.forget());
    }

    /** Oldest first. */
    public CompletionStage<Page<DatabaseRow>> list(String tenantId, Optional<Lifecycle> state, int limit, long offset) {
        String filter = "WHERE d.tenant_id = ? AND (?::text IS NULL OR d.state = ?)";
        String word = state.map(Lifecycle::word).orElse(null);
        return sql.transaction(connection -> {
            try (PreparedStatement count =
                            connection.prepareStatement("SELECT count(*) FROM catalog.database d " + filter);
                    PreparedStatement select = connection.prepareStatement(
                            SELECT + filter + " ORDER BY d.created_at, d.id LIMIT ? OFFSET ?")) {
                for (PreparedStatement statement : List.of(count, select)) {
                    statement.setString(1, tenantId);
                    statement.setString(2, word);
                    statement.setString(3, word);
                }
                select.setInt(4, limit);
                select.setLong(5, offset);
                try (ResultSet total = count.executeQuery()) {
                    total.next();
                    return new Page<>(rows(select), total.getLong(1));
                }
            }
        });
    }

    /** By name, or else by id. */
    public CompletionStage<Optional<DatabaseRow>> find(String tenantId, String nameOrId) {
        return sql.transaction(connection -> {
            try (PreparedStatement select = connection.prepareStatement(
                    SELECT + "WHERE d.tenant_id = ? AND (d.name = ? OR d.id = ?) ORDER BY (d.name = ?) DESC LIMIT 1")) {
                select.setString(1, tenantId);
                select.setString(2, nameOrId);
                select.setString(3, nameOrId);
                select.setString(4, nameOrId);
                return rows(select).stream().findFirst();
            }
        });
    }

    /** Databases that are, or may be, in the middle of something; in order of their ids, those after {@code afterId}. */
    CompletionStage<List<DatabaseRow>> unsettled(String afterId, int limit) {
        return sql.transaction(connection -> {
            try (PreparedStatement select = connection.prepareStatement(SELECT
                    + "WHERE d.id > ? AND (t.deleting OR d.state NOT IN ('stopped', 'error')) ORDER BY d.id LIMIT ?")) {
                select.setString(1, afterId);
                select.setInt(2, limit);
                return rows(select);
            }
        });
    }

    private static List<DatabaseRow> rows(PreparedStatement select) throws SQLException {
        List<DatabaseRow> found = new ArrayList<>();
        try (ResultSet rows = select.executeQuery()) {
            while (rows.next()) {
                String view = rows.getString("view");
                found.add(new DatabaseRow(
                        read(rows.getString("spec"), DatabaseSpec.class),
                        rows.getString("state"),
                        view == null ? Optional.empty() : Optional.of(read(view, DatabaseView.class)),
                        rows.getTimestamp("created_at").toInstant(),
                        rows.getBoolean("deleting")));
            }
        }
        return found;
    }

    @Override
    public CompletionStage<Done> project(DatabaseView view, long sequence) {
        return sql.transaction(connection -> {
            try (PreparedStatement update = connection.prepareStatement("UPDATE catalog.database"
                    + " SET state = ?, generation = ?, view = ?::jsonb, sequence = ?"
                    + " WHERE id = ? AND sequence <= ?")) {
                update.setString(1, view.state());
                update.setInt(2, view.generation());
                update.setString(3, write(view));
                update.setLong(4, sequence);
                update.setString(5, view.id());
                update.setLong(6, sequence);
                update.executeUpdate();
                return Done.getInstance();
            }
        });
    }

    @Override
    public CompletionStage<Done> announce(DatabaseChange change) {
        return events.add(change);
    }

    @Override
    public CompletionStage<Done> remove(String databaseId) {
        return sql.<Done>transaction(connection -> {
                    try (PreparedStatement delete = connection.prepareStatement(
                            "DELETE FROM catalog.database WHERE id = ? RETURNING tenant_id")) {
                        delete.setString(1, databaseId);
                        try (ResultSet rows = delete.executeQuery()) {
                            if (rows.next()) {
                                Tenants.removeIfEmpty(connection, rows.getString(1));
                            }
                        }
                        return Done.getInstance();
                    }
                })
                .whenComplete((done, failure) -> logins.forget());
    }

    private static String write(Object value) {
        try {
            return Json.MAPPER.writeValueAsString(value);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(
                    "not written as JSON: type=" + value.getClass().getSimpleName(), e);
        }
    }

    private static <T> T read(String json, Class<T> type) {
        try {
            return Json.MAPPER.readValue(json, type);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(
                    "catalog holds what this program cannot read: type=" + type.getSimpleName(), e);
        }
    }
}
