package io.spg99.gateway.login;

import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletionStage;

/** Port: the tenants and their databases, as far as a login needs them. Wakes nothing. */
@FunctionalInterface
public interface TenantDirectory {

    /** Empty if there is no such tenant. Fails if the directory cannot be asked (answered with 57P03). */
    CompletionStage<Optional<Tenant>> find(String pgUser);

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
