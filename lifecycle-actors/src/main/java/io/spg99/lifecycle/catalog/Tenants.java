package io.spg99.lifecycle.catalog;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.time.Clock;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletionStage;

/** Tenants and their credentials. */
public final class Tenants {

    private static final String COLUMNS = "id, name, pg_user, deleting, created_at";

    private final Sql sql;
    private final MasterKey masterKey;
    private final Secrets secrets;
    private final Clock clock;
    private final TenantLogins logins;

    Tenants(Sql sql, MasterKey masterKey, Secrets secrets, Clock clock, TenantLogins logins) {
        this.sql = sql;
        this.masterKey = masterKey;
        this.secrets = secrets;
        this.clock = clock;
        this.logins = logins;
    }

    /** Fails with {@link CatalogConflict} if the name is taken. */
    public CompletionStage<NewTenant> create(String name) {
        Tenant tenant = new Tenant(secrets.id(), name, secrets.pgUser(), false, clock.instant());
        String password = secrets.password();
        return sql.transaction(connection -> {
            insert(connection, tenant, password);
            return new NewTenant(tenant, new Credentials(tenant.pgUser(), password));
        });
    }

    private void insert(Connection connection, Tenant tenant, String password) throws SQLException {
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO catalog.tenant"
                + " (id, account_id, name, pg_user, sealed_password, verifier, created_at)"
                + " VALUES (?, ?, ?, ?, ?, ?, ?)")) {
            insert.setString(1, tenant.id());
            insert.setString(2, Account.ONLY);
            insert.setString(3, tenant.name());
            insert.setString(4, tenant.pgUser());
            insert.setBytes(5, masterKey.seal(password, tenant.id()));
            insert.setString(6, ScramVerifier.of(password, secrets.salt()));
            insert.setTimestamp(7, Timestamp.from(tenant.createdAt()));
            insert.executeUpdate();
        } catch (SQLException e) {
            if (Sql.isDuplicate(e)) {
                throw new CatalogConflict("a tenant named \"" + tenant.name() + "\" exists: choose another name");
            }
            throw e;
        }
    }

    /** Oldest first. */
    public CompletionStage<Page<Tenant>> list(int limit, long offset) {
        return sql.transaction(connection -> {
            try (PreparedStatement count = connection.prepareStatement("SELECT count(*) FROM catalog.tenant");
                    ResultSet total = count.executeQuery();
                    PreparedStatement select = connection.prepareStatement(
                            "SELECT " + COLUMNS + " FROM catalog.tenant ORDER BY created_at, id LIMIT ? OFFSET ?")) {
                total.next();
                select.setInt(1, limit);
                select.setLong(2, offset);
                List<Tenant> tenants = new ArrayList<>();
                try (ResultSet rows = select.executeQuery()) {
                    while (rows.next()) {
                        tenants.add(tenant(rows));
                    }
                }
                return new Page<>(tenants, total.getLong(1));
            }
        });
    }

    /** By name, or else by id. */
    public CompletionStage<Optional<Tenant>> find(String nameOrId) {
        return sql.transaction(connection -> {
            try (PreparedStatement select = connection.prepareStatement("SELECT " + COLUMNS
                    + " FROM catalog.tenant WHERE name = ? OR id = ? ORDER BY (name = ?) DESC LIMIT 1")) {
                select.setString(1, nameOrId);
                select.setString(2, nameOrId);
                select.setString(3, nameOrId);
                try (ResultSet rows = select.executeQuery()) {
                    return rows.next() ? Optional.of(tenant(rows)) : Optional.<Tenant>empty();
                }
            }
        });
    }

    private static Tenant tenant(ResultSet row) throws SQLException {
        return new Tenant(
                row.getString("id"),
                row.getString("name"),
                row.getString("pg_user"),
                row.getBoolean("deleting"),
                instant(row));
    }

    private static Instant instant(ResultSet row) throws SQLException {
        return row.getTimestamp("created_at").toInstant();
    }

    /** Empty if there is no such tenant. */
    public CompletionStage<Optional<Credentials>> credentials(String tenantId) {
        return sql.transaction(connection -> {
            try (PreparedStatement select =
                    connection.prepareStatement("SELECT pg_user, sealed_password FROM catalog.tenant WHERE id = ?")) {
                select.setString(1, tenantId);
                try (ResultSet rows = select.executeQuery()) {
                    return rows.next()
                            ? Optional.of(
                                    new Credentials(rows.getString(1), masterKey.open(rows.getBytes(2), tenantId)))
                            : Optional.<Credentials>empty();
                }
            }
        });
    }

    /** Gives a new password; the old one is void for new logins. Empty if there is no such tenant. */
    public CompletionStage<Optional<Credentials>> rotate(String tenantId) {
        String password = secrets.password();
        return sql.<Optional<Credentials>>transaction(connection -> {
                    try (PreparedStatement update = connection.prepareStatement("UPDATE catalog.tenant"
                            + " SET sealed_password = ?, verifier = ? WHERE id = ? RETURNING pg_user")) {
                        update.setBytes(1, masterKey.seal(password, tenantId));
                        update.setString(2, ScramVerifier.of(password, secrets.salt()));
                        update.setString(3, tenantId);
                        try (ResultSet rows = update.executeQuery()) {
                            return rows.next()
                                    ? Optional.of(new Credentials(rows.getString(1), password))
                                    : Optional.empty();
                        }
                    }
                })
                .whenComplete((done, failure) -> logins.forget());
    }

    /**
     * Removes a tenant without databases, or marks one that has some: nobody can log in to it or add a database any longer,
     * and it goes with the last database. Repeating it is harmless.
     *
     * @return ids of the databases that must be deleted now
     */
    public CompletionStage<List<String>> delete(String tenantId, boolean cascade) {
        return sql.<List<String>>transaction(connection -> {
                    lock(connection, tenantId);
                    List<String> databases = databases(connection, tenantId);
                    if (!databases.isEmpty() && !cascade) {
                        throw new CatalogConflict("the tenant has " + databases.size()
                                + " databases: delete them first, or use cascade=true");
                    }
                    update(connection, tenantId, "UPDATE catalog.tenant SET deleting = true WHERE id = ?");
                    removeIfEmpty(connection, tenantId);
                    return databases;
                })
                .whenComplete((done, failure) -> logins.forget());
    }

    private static void lock(Connection connection, String tenantId) throws SQLException {
        try (PreparedStatement lock =
                connection.prepareStatement("SELECT FROM catalog.tenant WHERE id = ? FOR UPDATE")) {
            lock.setString(1, tenantId);
            lock.execute();
        }
    }

    private static List<String> databases(Connection connection, String tenantId) throws SQLException {
        try (PreparedStatement select =
                connection.prepareStatement("SELECT id FROM catalog.database WHERE tenant_id = ?")) {
            select.setString(1, tenantId);
            List<String> ids = new ArrayList<>();
            try (ResultSet rows = select.executeQuery()) {
                while (rows.next()) {
                    ids.add(rows.getString(1));
                }
            }
            return ids;
        }
    }

    /** The last step of a tenant's deletion, once its last database is gone. */
    static void removeIfEmpty(Connection connection, String tenantId) throws SQLException {
        update(
                connection,
                tenantId,
                "DELETE FROM catalog.tenant t WHERE id = ? AND deleting"
                        + " AND NOT EXISTS (SELECT FROM catalog.database d WHERE d.tenant_id = t.id)");
    }

    private static void update(Connection connection, String tenantId, String command) throws SQLException {
        try (PreparedStatement update = connection.prepareStatement(command)) {
            update.setString(1, tenantId);
            update.executeUpdate();
        }
    }
}
