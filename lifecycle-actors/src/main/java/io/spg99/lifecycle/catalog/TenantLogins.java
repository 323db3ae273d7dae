package io.spg99.lifecycle.catalog;

import io.spg99.gateway.login.PoolMode;
import io.spg99.gateway.login.TenantDirectory;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletionStage;

/**
 * What Gateways ask at each login. An answer is kept for a moment, so that a burst of connections asks once; what this node
 * writes is seen at once, what another one writes after that moment.
 */
public final class TenantLogins implements TenantDirectory {

    private record Kept(CompletionStage<Optional<Tenant>> answer, Instant asked) {}

    private final Sql sql;
    private final Clock clock;
    private final Duration ttl;
    private final Map<String, Kept> kept;

    TenantLogins(Sql sql, Clock clock, Duration ttl, int size) {
        this.sql = sql;
        this.clock = clock;
        this.ttl = ttl;
        this.kept = new LinkedHashMap<>() {
            @Override
            protected boolean removeEldestEntry(Map.Entry<String, Kept> eldest) {
                return size() > size;
            }
        };
    }

    @Override
    public CompletionStage<Optional<Tenant>> find(String pgUser) {
        synchronized (kept) {
            Instant now = clock.instant();
            Kept before = kept.get(pgUser);
            if (before != null && before.asked().plus(ttl).isAfter(now)) {
                return before.answer();
            }
            CompletionStage<Optional<Tenant>> answer = load(pgUser);
            kept.remove(pgUser);
            kept.put(pgUser, new Kept(answer, now));
            answer.whenComplete((tenant, failure) -> {
                if (failure != null) {
                    forget();
                }
            });
            return answer;
        }
    }

    /** After each local write: who asks from now on sees it. */
    void forget() {
        synchronized (kept) {
            kept.clear();
        }
    }

    private CompletionStage<Optional<Tenant>> load(String pgUser) {
        return sql.transaction(connection -> {
            try (PreparedStatement select =
                    connection.prepareStatement("SELECT t.verifier, d.name, d.id, d.view ->> 'pool_mode'"
                            + " FROM catalog.tenant t LEFT JOIN catalog.database d ON d.tenant_id = t.id"
                            + " WHERE t.pg_user = ? AND NOT t.deleting")) {
                select.setString(1, pgUser);
                try (ResultSet rows = select.executeQuery()) {
                    String verifier = null;
                    Map<String, Database> databases = new HashMap<>();
                    while (rows.next()) {
                        verifier = rows.getString(1);
                        if (rows.getString(2) != null) {
                            databases.put(
                                    rows.getString(2),
                                    new Database(
                                            rows.getString(3),
                                            Optional.ofNullable(rows.getString(4))
                                                    .flatMap(PoolMode::parse)
                                                    .orElse(PoolMode.TRANSACTION)));
                        }
                    }
                    return verifier == null
                            ? Optional.<Tenant>empty()
                            : Optional.of(new Tenant(pgUser, verifier, databases));
                }
            }
        });
    }
}
