package io.spg99.lifecycle.http;

import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.spg99.lifecycle.catalog.Catalog;
import io.spg99.lifecycle.catalog.CatalogSettings;
import io.spg99.lifecycle.catalog.MasterKey;
import io.spg99.lifecycle.catalog.Secrets;
import io.spg99.lifecycle.postgres.TestPostgres;
import java.security.SecureRandom;
import java.sql.SQLException;
import java.time.Clock;
import java.time.Duration;

/** A catalog on a fresh database of a real PostgreSQL, and databases that only pretend. */
final class TestServices {

    private static final SecureRandom RANDOM = new SecureRandom();

    private TestServices() {}

    /** @param key the one API key */
    static ApiServices with(String key, Health health) {
        try {
            Catalog catalog = Catalog.open(
                    new CatalogSettings(
                            TestPostgres.freshDatabase(),
                            "postgres",
                            "",
                            3,
                            Duration.ofSeconds(3),
                            100,
                            Duration.ZERO,
                            10),
                    new MasterKey(RANDOM.generateSeed(MasterKey.BYTES), RANDOM),
                    RANDOM,
                    Clock.systemUTC());
            catalog.apiKeys().ensure("bootstrap", key).toCompletableFuture().join();
            return new ApiServices(
                    catalog,
                    new FakeDatabases(),
                    new Secrets(RANDOM),
                    health,
                    new PrometheusMeterRegistry(PrometheusConfig.DEFAULT),
                    () -> "localhost:6432");
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }
}
