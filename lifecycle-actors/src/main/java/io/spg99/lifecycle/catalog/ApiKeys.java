package io.spg99.lifecycle.catalog;

import java.sql.Array;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Timestamp;
import java.time.Clock;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletionStage;
import org.apache.pekko.Done;

/** API keys. Only hashes are stored: a lookup by hash leaks nothing useful through its timing. */
public final class ApiKeys {

    /** Sees and may do everything. */
    public static final String SCOPE_GLOBAL = "global";

    private static final List<String> ALL_PERMISSIONS =
            List.of("can_create_tenant", "can_create_db", "can_scale", "can_delete");

    private final Sql sql;
    private final Secrets secrets;
    private final Clock clock;

    ApiKeys(Sql sql, Secrets secrets, Clock clock) {
        this.sql = sql;
        this.secrets = secrets;
        this.clock = clock;
    }

    /** Makes {@code apiKey} known as a global key with all permissions; repeating it is harmless. */
    public CompletionStage<Done> ensure(String name, String apiKey) {
        return sql.transaction(connection -> {
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO catalog.api_key"
                    + " (id, account_id, name, hash, scope, permissions, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
                    + " ON CONFLICT (hash) DO NOTHING")) {
                Array permissions = connection.createArrayOf("text", ALL_PERMISSIONS.toArray());
                insert.setString(1, secrets.id());
                insert.setString(2, Account.ONLY);
                insert.setString(3, name);
                insert.setBytes(4, Secrets.hash(apiKey));
                insert.setString(5, SCOPE_GLOBAL);
                insert.setArray(6, permissions);
                insert.setTimestamp(7, Timestamp.from(clock.instant()));
                insert.executeUpdate();
                return Done.getInstance();
            }
        });
    }

    /** Empty if the key is not known. */
    public CompletionStage<Optional<ApiKey>> find(String apiKey) {
        return sql.transaction(connection -> {
            try (PreparedStatement select = connection.prepareStatement(
                    "SELECT id, account_id, name, scope, permissions FROM catalog.api_key WHERE hash = ?")) {
                select.setBytes(1, Secrets.hash(apiKey));
                try (ResultSet rows = select.executeQuery()) {
                    return rows.next()
                            ? Optional.of(new ApiKey(
                                    rows.getString(1),
                                    rows.getString(2),
                                    rows.getString(3),
                                    rows.getString(4),
                                    Set.of((String[]) rows.getArray(5).getArray())))
                            : Optional.<ApiKey>empty();
                }
            }
        });
    }
}
