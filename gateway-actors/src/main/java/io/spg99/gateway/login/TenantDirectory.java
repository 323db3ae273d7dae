package io.spg99.gateway.login;

import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;

/** Port: who may log in: the tenants with their databases, and administrators. Wakes nothing. */
@FunctionalInterface
public interface TenantDirectory {

    /** Whoever connects to this database gets the admin console: no tenant's has this name. */
    String CONSOLE = "spg99";

    /** Empty if there is no such tenant. Fails if the directory cannot be asked (answered with 57P03). */
    CompletionStage<Optional<Tenant>> find(String pgUser);

    /** Whether {@code apiKey} lets somebody use the admin console. Fails if that cannot be asked. */
    default CompletionStage<Boolean> isAdministrator(String apiKey) {
        return CompletableFuture.completedFuture(false);
    }

    record Database(String id, PoolMode poolMode) {}

    /**
     * @param verifier  in PostgreSQL's form, {@code SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>}
     * @param databases by name
     */
    record Tenant(String pgUser, String verifier, Map<String, Database> databases) {
        public Tenant {
            databases = Map.copyOf(databases);
        }

        @Override
        public String toString() {
            return "Tenant[pgUser=" + pgUser + "]";
        }
    }
}
