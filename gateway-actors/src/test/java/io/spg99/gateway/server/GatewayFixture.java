package io.spg99.gateway.server;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.spg99.gateway.lease.DatabaseLeases;
import io.spg99.gateway.login.PoolMode;
import io.spg99.gateway.login.ScramVerifier;
import io.spg99.gateway.login.TenantDirectory;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;

/** A Gateway with short times before one PostgreSQL, with a directory of one tenant. */
final class GatewayFixture {

    static final String PASSWORD = "s3cret-of-test";

    final ActorTestKit actors = ActorTestKit.create();
    final FakeDatabases databases;
    final PrometheusMeterRegistry metrics = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    final TestPostgres postgres;
    final GatewayServer server;
    private final DatabaseLeases leases;
    volatile boolean directoryDown;

    /** Of the database. */
    volatile PoolMode poolMode = PoolMode.TRANSACTION;

    GatewayFixture(TestPostgres postgres, String overrides) throws Exception {
        this(postgres, overrides, (actors, databases) -> databases);
    }

    /** @param leases what the Gateway asks, in place of the fake */
    GatewayFixture(
            TestPostgres postgres, String overrides, BiFunction<ActorTestKit, FakeDatabases, DatabaseLeases> leases)
            throws Exception {
        this.postgres = postgres;
        databases = new FakeDatabases(postgres.port());
        this.leases = leases.apply(actors, databases);
        server = start(overrides);
    }

    /** One more Gateway of the same cluster, counted with the first. */
    GatewayServer start(String overrides) throws Exception {
        return GatewayServer.start(actors.system(), settings(postgres, overrides), directory(), leases, metrics)
                .toCompletableFuture()
                .get(20, TimeUnit.SECONDS);
    }

    static GatewaySettings settings(TestPostgres postgres, String overrides) {
        return settings(postgres.certificates(), overrides);
    }

    static GatewaySettings settings(TestCertificates certificates, String overrides) {
        Config tls = ConfigFactory.parseMap(Map.of(
                "tls.server-certificate", certificates.certificate("gateway").toString(),
                "tls.server-key", certificates.key("gateway").toString(),
                "tls.client-certificate", certificates.certificate("client").toString(),
                "tls.client-key", certificates.key("client").toString(),
                "tls.backend-ca", certificates.certificate("ca").toString()));
        return GatewaySettings.from(ConfigFactory.parseString(overrides)
                .withFallback(ConfigFactory.parseString("""
                        port = 0
                        wake-timeout = 3s
                        wake-notice-after = 300ms
                        acquire-retry = 200ms
                        abandoned-query-grace = 200ms
                        pool.linger = 0s
                        pool.checkout-timeout = 3s
                        """))
                .withFallback(tls)
                .withFallback(ConfigFactory.load().getConfig("spg99.gateway")));
    }

    private TenantDirectory directory() {
        return user -> directoryDown
                ? CompletableFuture.failedFuture(new IllegalStateException("down, by the test"))
                : oneTenant(poolMode).find(user);
    }

    static TenantDirectory oneTenant(PoolMode poolMode) {
        String verifier = ScramVerifier.of(PASSWORD, new byte[] {1, 2, 3, 4, 5, 6, 7, 8}, 4096)
                .toStored();
        TenantDirectory.Tenant tenant = new TenantDirectory.Tenant(
                TestPostgres.USER,
                verifier,
                Map.of(TestPostgres.DATABASE, new TenantDirectory.Database("db-1", poolMode)));
        return user -> CompletableFuture.completedFuture(
                user.equals(tenant.pgUser()) ? Optional.of(tenant) : Optional.empty());
    }

    Properties properties() {
        Properties properties = new Properties();
        properties.setProperty("user", TestPostgres.USER);
        properties.setProperty("password", PASSWORD);
        properties.setProperty("sslmode", "verify-full");
        properties.setProperty(
                "sslrootcert", postgres.certificates().certificate("ca").toString());
        properties.setProperty("connectTimeout", "10");
        properties.setProperty("socketTimeout", "20");
        return properties;
    }

    Connection connect() throws SQLException {
        return connect(properties());
    }

    Connection connect(Properties properties) throws SQLException {
        return connect(TestPostgres.DATABASE, properties);
    }

    Connection connect(String database, Properties properties) throws SQLException {
        return DriverManager.getConnection("jdbc:postgresql://localhost:" + server.port() + "/" + database, properties);
    }

    void stop() throws Exception {
        server.stop(Duration.ofSeconds(3)).toCompletableFuture().get(10, TimeUnit.SECONDS);
        actors.shutdownTestKit();
    }
}
