package io.spg99.lifecycle.catalog;

import io.spg99.gateway.login.TenantDirectory;
import java.security.SecureRandom;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.time.Clock;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
import org.apache.pekko.Done;

/** The catalog of one installation, in PostgreSQL (schema {@code catalog}). Nothing here blocks but open and close. */
public final class Catalog implements AutoCloseable {

    private final Sql sql;
    private final Tenants tenants;
    private final DatabaseRows databases;
    private final ApiKeys apiKeys;
    private final EventRows events;
    private final TenantLogins logins;

    private Catalog(Sql sql, CatalogSettings settings, MasterKey masterKey, SecureRandom random, Clock clock) {
        Secrets secrets = new Secrets(random);
        this.sql = sql;
        this.logins = new TenantLogins(sql, clock, settings.directoryCacheTtl(), settings.directoryCacheSize());
        this.tenants = new Tenants(sql, masterKey, secrets, clock, logins);
        this.events = new EventRows(sql);
        this.databases = new DatabaseRows(sql, clock, logins, events);
        this.apiKeys = new ApiKeys(sql, secrets, clock);
    }

    /**
     * Connects and brings the tables up to date. Blocks.
     *
     * @throws SQLException if PostgreSQL cannot be reached or its tables are newer than this program
     */
    public static Catalog open(CatalogSettings settings, MasterKey masterKey, SecureRandom random, Clock clock)
            throws SQLException {
        Sql sql = new Sql(settings);
        try {
            sql.migrate();
            Catalog catalog = new Catalog(sql, settings, masterKey, random, clock);
            catalog.ensureAccount(clock).toCompletableFuture().join();
            return catalog;
        } catch (SQLException | RuntimeException e) {
            sql.close();
            throw e;
        }
    }

    private CompletionStage<Done> ensureAccount(Clock clock) {
        return sql.transaction(connection -> {
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO catalog.account"
                    + " (id, plan, created_at) VALUES (?, 'standard_payg', ?) ON CONFLICT (id) DO NOTHING")) {
                insert.setString(1, Account.ONLY);
                insert.setTimestamp(2, Timestamp.from(clock.instant()));
                insert.executeUpdate();
                return Done.getInstance();
            }
        });
    }

    public Tenants tenants() {
        return tenants;
    }

    public DatabaseRows databases() {
        return databases;
    }

    public ApiKeys apiKeys() {
        return apiKeys;
    }

    public EventRows events() {
        return events;
    }

    /** For Gateways. */
    public TenantDirectory directory() {
        return new TenantDirectory() {
            @Override
            public CompletionStage<Optional<Tenant>> find(String pgUser) {
                return logins.find(pgUser);
            }

            @Override
            public CompletionStage<Boolean> isAdministrator(String apiKey) {
                return apiKeys.find(apiKey)
                        .thenApply(found -> found.filter(key -> key.scope().equals(ApiKeys.SCOPE_GLOBAL))
                                .isPresent());
            }
        };
    }

    public CompletionStage<Account> account() {
        return sql.transaction(connection -> {
            try (PreparedStatement select = connection.prepareStatement(
                    "SELECT id, plan, email, name, company, created_at FROM catalog.account WHERE id = ?")) {
                select.setString(1, Account.ONLY);
                try (ResultSet rows = select.executeQuery()) {
                    rows.next();
                    return new Account(
                            rows.getString(1),
                            rows.getString(2),
                            Optional.ofNullable(rows.getString(3)),
                            Optional.ofNullable(rows.getString(4)),
                            Optional.ofNullable(rows.getString(5)),
                            rows.getTimestamp(6).toInstant());
                }
            }
        });
    }

    /** Whether the catalog answers, for health checks. */
    public CompletionStage<Done> ping() {
        return sql.transaction(connection -> {
            try (PreparedStatement select = connection.prepareStatement("SELECT 1")) {
                select.execute();
                return Done.getInstance();
            }
        });
    }

    @Override
    public void close() {
        sql.close();
    }
}
