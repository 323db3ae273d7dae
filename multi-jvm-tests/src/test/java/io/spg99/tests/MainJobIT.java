package io.spg99.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.tests.process.ApiClient;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.PostgresProcesses;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Create a database, connect, query, stop, wake: as a user does it, over one running {@code dev}. */
@ExtendWith(SharedDev.class)
class MainJobIT {

    private static DevProcess dev;

    @BeforeAll
    static void start(DevProcess shared) {
        dev = shared;
    }

    /** A tenant and one database in it, made through the API. */
    private record Target(String tenant, String database, String user, String password, String id) {
        Connection connect(String options) throws SQLException {
            return DriverManager.getConnection(
                    "jdbc:postgresql://%s:%s/%s?%s"
                            .formatted(dev.get("gateway_host"), dev.get("gateway_port"), database, options),
                    user,
                    password);
        }

        Connection connect() throws SQLException {
            return connect("sslmode=require");
        }

        JsonNode describe() {
            return dev.api().database(tenant, database);
        }
    }

    private static Target create(String tenant, String database, String extra) {
        ApiClient api = dev.api();
        ApiClient.Answer madeTenant = api.post("/v2/tenants", "{\"name\":\"" + tenant + "\"}");
        assertEquals(201, madeTenant.status(), madeTenant.toString());
        ApiClient.Answer madeDatabase =
                api.post("/v2/tenants/" + tenant + "/dbs", "{\"name\":\"" + database + "\"" + extra + "}");
        assertEquals(201, madeDatabase.status(), madeDatabase.toString());
        assertEquals("stopped", madeDatabase.body().path("state").asText());
        return new Target(
                tenant,
                database,
                madeTenant.body().path("pg_user").asText(),
                madeTenant.body().path("pg_password").asText(),
                madeDatabase.body().path("id").asText());
    }

    private static long number(Connection connection, String query) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(query)) {
            assertTrue(rows.next());
            return rows.getLong(1);
        }
    }

    private static long timelineIdOf(Connection connection) throws SQLException {
        return number(
                connection, "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint");
    }

    @Test
    void givenAMillionRows_whenStoppedAndWoken_thenTheyAreAllThereOnAHigherGeneration() throws Exception {
        Target shop = create("main_job", "shop", "");
        long firstGeneration;
        try (Connection connection = shop.connect("sslmode=verify-full&sslrootcert=" + dev.get("gateway_ca"));
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)");
            statement.execute("INSERT INTO orders SELECT g, md5(g::text) FROM generate_series(1, 1000000) g");
            firstGeneration = timelineIdOf(connection);
            assertEquals(firstGeneration, shop.describe().path("generation").asLong());
            assertEquals("ready", shop.describe().path("state").asText());
            assertTrue(!PostgresProcesses.ofDatabase(dev.data(), shop.id()).isEmpty());
        }

        dev.api().stop(shop.tenant(), shop.database());

        assertEquals(List.of(), PostgresProcesses.ofDatabase(dev.data(), shop.id()));
        assertEquals(
                List.of(),
                PostgresProcesses.directoriesNamed(dev.data(), "base").stream()
                        .filter(path -> path.toString().contains(shop.id()))
                        .toList());

        try (Connection connection = shop.connect()) {
            assertEquals(1_000_000, number(connection, "SELECT count(*) FROM orders"));
            long generation = timelineIdOf(connection);
            assertTrue(generation > firstGeneration, "generation=" + generation);
            assertEquals(generation, shop.describe().path("generation").asLong());
        }
    }

    @Test
    void givenAWriterThatStopped_whenASnapshotWasMade_thenTheNextWakeStartsOnItAndNothingIsLost() throws Exception {
        Target kept = create("snapshots", "app", "");
        try (Connection connection = kept.connect();
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE numbered (id serial PRIMARY KEY, v text)");
            statement.execute("INSERT INTO numbered (v) SELECT 'x' FROM generate_series(1, 1000)");
            statement.execute("CREATE UNLOGGED TABLE volatile (id int)");
            statement.execute("INSERT INTO volatile VALUES (1)");
        }
        dev.api().stop(kept.tenant(), kept.database());
        dev.api()
                .awaitDatabase(
                        kept.tenant(),
                        kept.database(),
                        Duration.ofSeconds(30),
                        json -> json.path("snapshot_lsn").isTextual()
                                && json.path("snapshot_lsn").equals(json.path("wal_lsn"))
                                && json.path("storage_bytes").asLong() > 0);

        try (Connection connection = kept.connect()) {
            assertEquals(1000, number(connection, "SELECT count(*) FROM numbered"));
            assertEquals(1001, number(connection, "INSERT INTO numbered (v) VALUES ('y') RETURNING id"));
            assertEquals(0, number(connection, "SELECT count(*) FROM volatile"));
        }
    }

    @Test
    void givenAnOrderlyStop_whenStarted_thenTheRelationCacheIsThereBeforeAnybodyConnects() throws Exception {
        Target kept = create("relation_cache", "app", "");
        try (Connection connection = kept.connect()) {
            number(connection, "SELECT count(*) FROM pg_class");
        }
        dev.api().stop(kept.tenant(), kept.database());

        dev.api().post("/v2/tenants/" + kept.tenant() + "/dbs/" + kept.database() + "/start", "");

        dev.api()
                .awaitDatabase(
                        kept.tenant(),
                        kept.database(),
                        Duration.ofSeconds(30),
                        json -> json.path("state").asText().equals("ready"));
        List<String> caches = new ArrayList<>();
        for (Path base : PostgresProcesses.directoriesNamed(dev.data(), "base")) {
            if (base.toString().contains(kept.id())) {
                try (Stream<Path> files = Files.walk(base)) {
                    files.map(file -> file.getFileName().toString())
                            .filter(name -> name.startsWith("pg_internal.init"))
                            .forEach(caches::add);
                }
            }
        }
        assertTrue(caches.contains("pg_internal.init"), "kept: " + caches);
        assertTrue(!caches.contains("pg_internal.init.left"), "not put back: " + caches);
    }

    @Test
    void givenAnIdleTimeout_whenTheLastClientLeaves_thenItStopsByItself() throws Exception {
        Target idle = create("idle", "app", ",\"idle_timeout\":\"1s\"");
        try (Connection connection = idle.connect()) {
            assertEquals(1, number(connection, "SELECT 1"));
        }
        dev.api()
                .awaitDatabase(
                        idle.tenant(),
                        idle.database(),
                        Duration.ofSeconds(15),
                        json -> json.path("state").asText().equals("stopped"));
        assertEquals(List.of(), PostgresProcesses.ofDatabase(dev.data(), idle.id()));
    }

    @Test
    void givenAStoppedDatabase_whenManyConnectAtOnce_thenOneGenerationServesAll() throws Exception {
        Target herd = create("herd", "app", "");
        try (ExecutorService clients = Executors.newFixedThreadPool(30)) {
            List<Future<Long>> answers = new ArrayList<>();
            for (int i = 0; i < 30; i++) {
                answers.add(clients.submit(() -> {
                    try (Connection connection = herd.connect()) {
                        return timelineIdOf(connection);
                    }
                }));
            }
            for (Future<Long> answer : answers) {
                assertEquals(2, answer.get());
            }
        }
    }

    @Test
    void givenAWrongPassword_whenConnecting_thenItIsRefusedAndNothingWakes() throws Exception {
        Target closed = create("closed", "app", "");
        SQLException wrong = assertThrows(
                SQLException.class,
                () -> new Target(closed.tenant(), closed.database(), closed.user(), "wrong", closed.id()).connect());
        assertEquals("28P01", wrong.getSQLState());
        SQLException unknown = assertThrows(
                SQLException.class,
                () -> new Target(closed.tenant(), "nothing", closed.user(), closed.password(), closed.id()).connect());
        assertEquals("3D000", unknown.getSQLState());
        SQLException plain = assertThrows(SQLException.class, () -> closed.connect("sslmode=disable"));
        assertEquals("28000", plain.getSQLState());
        assertEquals("stopped", closed.describe().path("state").asText());
        assertEquals(1, closed.describe().path("generation").asLong());
    }

    @Test
    void givenTwoTenants_whenOneLogsInToTheOthersDatabase_thenThereIsNoSuchDatabase() throws Exception {
        Target mine = create("mine", "app_mine", "");
        Target yours = create("yours", "app_yours", "");
        SQLException refused = assertThrows(
                SQLException.class,
                () -> new Target(yours.tenant(), yours.database(), mine.user(), mine.password(), yours.id()).connect());
        assertEquals("3D000", refused.getSQLState());
    }

    @Test
    void givenATenant_whenItTriesToBecomeMore_thenPostgresRefuses() throws Exception {
        Target tenant = create("modest", "app", "");
        try (Connection connection = tenant.connect();
                Statement statement = connection.createStatement()) {
            assertEquals(0, number(connection, "SELECT rolsuper::int FROM pg_roles WHERE rolname = current_user"));
            for (String forbidden : List.of(
                    "ALTER ROLE CURRENT_USER SUPERUSER",
                    "SET ROLE spg99_agent",
                    "SELECT pg_read_file('postgresql.conf')",
                    "COPY (SELECT 1) TO PROGRAM 'true'",
                    "CREATE ROLE other SUPERUSER",
                    "ALTER SYSTEM SET fsync = on")) {
                SQLException refused = assertThrows(SQLException.class, () -> statement.execute(forbidden), forbidden);
                assertEquals("42501", refused.getSQLState(), forbidden);
            }
            statement.execute("CREATE SCHEMA own");
            statement.execute("CREATE TABLE public.t (i int)");
        }
    }

    @Test
    void givenADatabase_whenDeleted_thenItIsGoneEverywhere() throws Exception {
        Target gone = create("gone", "app", "");
        String timeline = gone.describe().path("timeline_id").asText();
        try (Connection connection = gone.connect()) {
            assertEquals(1, number(connection, "SELECT 1"));
        }
        assertEquals(
                202, dev.api().delete("/v2/tenants/gone/dbs/app?force=true").status());
        Awaitility.await("database gone")
                .atMost(Duration.ofSeconds(15))
                .until(() -> dev.api().get("/v2/tenants/gone/dbs/app").status() == 404);
        assertEquals(List.of(), PostgresProcesses.ofDatabase(dev.data(), gone.id()));
        for (String safekeeper : List.of("sk1", "sk2", "sk3")) {
            assertTrue(!Files.exists(
                    dev.data().resolve("safekeepers").resolve(safekeeper).resolve(timeline)));
        }
        SQLException unknown = assertThrows(SQLException.class, gone::connect);
        assertEquals("3D000", unknown.getSQLState());
    }
}
