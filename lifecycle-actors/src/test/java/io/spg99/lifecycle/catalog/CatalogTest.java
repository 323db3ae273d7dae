package io.spg99.lifecycle.catalog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.gateway.login.PoolMode;
import io.spg99.gateway.login.TenantDirectory;
import io.spg99.lifecycle.database.DatabaseReply;
import io.spg99.lifecycle.database.Databases;
import io.spg99.lifecycle.database.Lifecycle;
import io.spg99.lifecycle.model.DatabaseSpec;
import io.spg99.lifecycle.model.DatabaseView;
import io.spg99.lifecycle.model.IdleTimeout;
import io.spg99.lifecycle.model.Profile;
import io.spg99.lifecycle.model.Tunables;
import io.spg99.lifecycle.postgres.TestPostgres;
import java.lang.reflect.Proxy;
import java.security.SecureRandom;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The catalog on a real PostgreSQL 17. */
class CatalogTest {

    private static final SecureRandom RANDOM = new SecureRandom();

    private final String url = url();
    private final byte[] key = RANDOM.generateSeed(MasterKey.BYTES);
    private Catalog catalog = open();

    private static String url() {
        try {
            return TestPostgres.freshDatabase();
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    private CatalogSettings settings(Duration ttl) {
        return new CatalogSettings(url, "postgres", "", 3, Duration.ofSeconds(3), 100, ttl, 10);
    }

    private Catalog open() {
        try {
            return Catalog.open(settings(Duration.ofMinutes(1)), new MasterKey(key, RANDOM), RANDOM, Clock.systemUTC());
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    @BeforeEach
    void schemaIsThere() {
        assertEquals("standard_payg", get(catalog.account()).plan());
    }

    @AfterEach
    void close() {
        catalog.close();
    }

    private static <T> T get(CompletionStage<T> stage) {
        return stage.toCompletableFuture().join();
    }

    private static Throwable failure(CompletionStage<?> stage) {
        CompletionException wrapped = assertThrows(
                CompletionException.class, () -> stage.toCompletableFuture().join());
        return java.util.Objects.requireNonNull(wrapped.getCause());
    }

    private DatabaseSpec spec(Tenant tenant, String name) {
        Secrets secrets = new Secrets(RANDOM);
        return new DatabaseSpec(
                secrets.id(),
                name,
                tenant.id(),
                tenant.name(),
                tenant.pgUser(),
                Profile.L1,
                secrets.id(),
                new Tunables(IdleTimeout.DEFAULT, false, Profile.L1, Profile.L1, PoolMode.TRANSACTION));
    }

    private static DatabaseView view(DatabaseSpec spec, String state) {
        return DatabaseView.of(spec, state, Instant.parse("2026-11-22T10:00:00Z"));
    }

    @Test
    void givenATenant_whenTheProgramRestarts_thenItsPasswordIsReadAgainAndOnlyWithTheKey() throws SQLException {
        NewTenant made = get(catalog.tenants().create("demo"));
        assertTrue(
                made.tenant().pgUser().matches("tnt_[a-z0-9]{10}"),
                made.tenant().pgUser());
        assertTrue(made.credentials().password().matches("[A-Za-z0-9_-]{32}"));
        catalog.close();
        catalog = open();
        assertEquals(
                Optional.of(made.credentials()),
                get(catalog.tenants().credentials(made.tenant().id())));
        assertEquals(
                Optional.of(made.tenant().id()),
                get(catalog.tenants().find("demo")).map(Tenant::id));
        try (Catalog other = Catalog.open(
                settings(Duration.ZERO), new MasterKey(new byte[MasterKey.BYTES], RANDOM), RANDOM, Clock.systemUTC())) {
            assertInstanceOf(
                    IllegalStateException.class,
                    failure(other.tenants().credentials(made.tenant().id())));
        }
    }

    @Test
    void givenATenant_whenItsNameIsUsedAgain_thenConflict() {
        get(catalog.tenants().create("demo"));
        assertInstanceOf(CatalogConflict.class, failure(catalog.tenants().create("demo")));
        get(catalog.tenants().create("Demo"));
        assertEquals(2, get(catalog.tenants().list(20, 0)).total());
        assertEquals(1, get(catalog.tenants().list(20, 1)).items().size());
    }

    @Test
    void givenLogins_whenAPasswordRotatesOrADatabaseAppears_thenTheNextLoginSeesIt() {
        NewTenant made = get(catalog.tenants().create("demo"));
        TenantDirectory directory = catalog.directory();
        TenantDirectory.Tenant before =
                get(directory.find(made.tenant().pgUser())).orElseThrow();
        assertEquals(Map.of(), before.databases());
        DatabaseSpec spec = spec(made.tenant(), "app");
        get(catalog.databases().add(spec));
        TenantDirectory.Tenant with =
                get(directory.find(made.tenant().pgUser())).orElseThrow();
        assertEquals(
                Map.of("app", new TenantDirectory.Database(spec.databaseId(), PoolMode.TRANSACTION)), with.databases());
        Tunables session = new Tunables(IdleTimeout.DEFAULT, false, Profile.L1, Profile.L1, PoolMode.SESSION);
        get(catalog.databases().project(view(spec.with(session), "stopped"), 2));
        Credentials rotated = get(catalog.tenants().rotate(made.tenant().id())).orElseThrow();
        assertNotEquals(made.credentials().password(), rotated.password());
        TenantDirectory.Tenant after =
                get(directory.find(made.tenant().pgUser())).orElseThrow();
        assertNotEquals(with.verifier(), after.verifier());
        assertEquals(
                Map.of("app", new TenantDirectory.Database(spec.databaseId(), PoolMode.SESSION)), after.databases());
        assertTrue(get(directory.find("tnt_nobody0000")).isEmpty());
    }

    @Test
    void givenABurstOfLogins_whenNothingWasWritten_thenTheyShareOneAnswer() {
        NewTenant made = get(catalog.tenants().create("demo"));
        CompletionStage<?> first = catalog.directory().find(made.tenant().pgUser());
        assertEquals(first, catalog.directory().find(made.tenant().pgUser()));
        for (int i = 0; i < 50; i++) {
            get(catalog.directory().find("tnt_" + i));
        }
        assertNotEquals(first, catalog.directory().find(made.tenant().pgUser()));
    }

    @Test
    void givenProjections_whenAnOlderOneComesLate_thenTheNewerStays() {
        Tenant tenant = get(catalog.tenants().create("demo")).tenant();
        DatabaseSpec spec = spec(tenant, "app");
        get(catalog.databases().add(spec));
        get(catalog.databases().project(view(spec, "booting"), 5));
        get(catalog.databases().project(view(spec, "stopped"), 3));
        DatabaseRow row = get(catalog.databases().find(tenant.id(), "app")).orElseThrow();
        assertEquals("booting", row.state());
        assertEquals(spec, row.spec());
        assertEquals(Optional.of(view(spec, "booting")), row.view());
    }

    @Test
    void givenDatabases_whenListed_thenFilteredPagedAndCounted() {
        Tenant tenant = get(catalog.tenants().create("demo")).tenant();
        Tenant other = get(catalog.tenants().create("other")).tenant();
        for (int i = 0; i < 5; i++) {
            DatabaseSpec spec = spec(tenant, "app" + i);
            get(catalog.databases().add(spec));
            get(catalog.databases().project(view(spec, i < 3 ? "stopped" : "ready"), 1));
        }
        assertInstanceOf(CatalogConflict.class, failure(catalog.databases().add(spec(tenant, "app1"))));
        get(catalog.databases().add(spec(other, "app1")));
        Page<DatabaseRow> stopped = get(catalog.databases().list(tenant.id(), Optional.of(Lifecycle.STOPPED), 2, 2));
        assertEquals(3, stopped.total());
        assertEquals(
                List.of("app2"),
                stopped.items().stream().map(row -> row.spec().name()).toList());
        assertEquals(
                5,
                get(catalog.databases().list(tenant.id(), Optional.empty(), 20, 0))
                        .items()
                        .size());
    }

    @Test
    void givenATenantWithDatabases_whenDeleted_thenItGoesWithTheLastOfThem() {
        Tenant tenant = get(catalog.tenants().create("demo")).tenant();
        DatabaseSpec spec = spec(tenant, "app");
        get(catalog.databases().add(spec));
        assertInstanceOf(CatalogConflict.class, failure(catalog.tenants().delete(tenant.id(), false)));
        assertEquals(List.of(spec.databaseId()), get(catalog.tenants().delete(tenant.id(), true)));
        assertTrue(get(catalog.directory().find(tenant.pgUser())).isEmpty());
        assertInstanceOf(CatalogConflict.class, failure(catalog.databases().add(spec(tenant, "more"))));
        assertTrue(get(catalog.tenants().find("demo")).orElseThrow().deleting());
        get(catalog.databases().remove(spec.databaseId()));
        get(catalog.databases().remove(spec.databaseId()));
        assertTrue(get(catalog.tenants().find("demo")).isEmpty());
    }

    @Test
    void givenAnApiKey_whenLookedUp_thenOnlyTheRightOneIsFound() {
        String apiKey = new Secrets(RANDOM).apiKey();
        get(catalog.apiKeys().ensure("bootstrap", apiKey));
        get(catalog.apiKeys().ensure("bootstrap", apiKey));
        assertEquals("global", get(catalog.apiKeys().find(apiKey)).orElseThrow().scope());
        assertTrue(get(catalog.apiKeys().find(apiKey + "x")).isEmpty());
    }

    @Test
    void givenSecrets_whenPrinted_thenTheyAreNotInIt() throws SQLException {
        NewTenant made = get(catalog.tenants().create("demo"));
        String password = made.credentials().password();
        assertFalse(made.toString().contains(password));
        assertFalse(get(catalog.tenants().credentials(made.tenant().id()))
                .toString()
                .contains(password));
        assertFalse(new CatalogSettings("u", "postgres", "geheim", 1, Duration.ZERO, 1, Duration.ZERO, 1)
                .toString()
                .contains("geheim"));
        assertEquals("MasterKey[]", new MasterKey(key, RANDOM).toString());
        TenantDirectory.Tenant login =
                get(catalog.directory().find(made.tenant().pgUser())).orElseThrow();
        assertFalse(login.toString().contains("SCRAM"));
        try (Connection connection = DriverManager.getConnection(url, "postgres", "");
                Statement statement = connection.createStatement();
                var rows = statement.executeQuery("SELECT t::text FROM catalog.tenant t")) {
            rows.next();
            assertFalse(rows.getString(1).contains(password));
        }
    }

    @Test
    void givenANewerCatalog_whenOpened_thenItIsRefusedClearly() throws SQLException {
        try (Connection connection = DriverManager.getConnection(url, "postgres", "");
                Statement statement = connection.createStatement()) {
            statement.execute("INSERT INTO catalog.migration (version) VALUES (999)");
        }
        SQLException refused = assertThrows(
                SQLException.class,
                () -> Catalog.open(settings(Duration.ZERO), new MasterKey(key, RANDOM), RANDOM, Clock.systemUTC()));
        assertTrue(String.valueOf(refused.getMessage()).contains("newer"), refused.getMessage());
    }

    @Test
    void givenAClosedCatalog_whenAsked_thenUnavailable() {
        catalog.close();
        assertInstanceOf(CatalogUnavailable.class, failure(catalog.ping()));
    }

    @Test
    void givenUnfinishedDatabases_whenReconciled_thenEachIsSeenToByItsState() {
        Tenant tenant = get(catalog.tenants().create("demo")).tenant();
        for (String state : List.of("creating", "stopped", "ready", "deleting", "error")) {
            DatabaseSpec spec = spec(tenant, state);
            get(catalog.databases().add(spec));
            get(catalog.databases().project(view(spec, state), 1));
        }
        Tenant going = get(catalog.tenants().create("going")).tenant();
        DatabaseSpec last = spec(going, "last");
        get(catalog.databases().add(last));
        get(catalog.databases().project(view(last, "stopped"), 1));
        get(catalog.tenants().delete(going.id(), true));
        List<String> calls = new ArrayList<>();
        Databases nobodyThere = (Databases) Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {Databases.class}, (proxy, method, arguments) -> {
                    calls.add(method.getName());
                    return CompletableFuture.completedStage(new DatabaseReply.NotFound());
                });
        assertEquals(4, get(new Reconciler(catalog, nobodyThere).run()));
        assertEquals(
                List.of("create", "delete", "describe", "describe"),
                calls.stream().sorted().toList());
        assertTrue(get(catalog.tenants().find("going")).isEmpty());
        assertEquals(
                3,
                get(catalog.databases().list(tenant.id(), Optional.empty(), 20, 0))
                        .total());
    }
}
