package io.spg99.tests.fault;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.tests.ledger.Ledger;
import io.spg99.tests.process.PostgresProcesses;
import io.spg99.tests.process.WriterAgent;
import java.io.IOException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.function.Predicate;
import org.awaitility.Awaitility;

/** One database of a {@link Platform}, as its tenant reaches it through the Gateway. */
record TestDatabase(
        Platform platform, String tenant, String name, String id, String timeline, String user, String password) {

    /** Asked of the agent: clients whose commit waits for the quorum. */
    static final String WAITING =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'client backend'";

    String url() {
        return platform.dev().jdbcUrl(name);
    }

    /** For libpq. */
    String dsn() {
        return "postgres://%s:%s@%s:%s/%s?sslmode=require"
                .formatted(
                        user,
                        password,
                        platform.dev().get("gateway_host"),
                        platform.dev().get("gateway_port"),
                        name);
    }

    Connection connect() throws SQLException {
        return DriverManager.getConnection(url(), user, password);
    }

    void execute(String... statements) throws SQLException {
        try (Connection connection = connect();
                Statement statement = connection.createStatement()) {
            for (String sql : statements) {
                statement.execute(sql);
            }
        }
    }

    long number(String query) throws SQLException {
        try (Connection connection = connect();
                Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(query)) {
            row.next();
            return row.getLong(1);
        }
    }

    JsonNode describe() {
        return platform.dev().api().database(tenant, name);
    }

    long generation() {
        return describe().path("generation").asLong();
    }

    /** Waits until a generation above {@code generation} is ready. */
    void awaitReadyAfter(long generation) {
        platform.dev()
                .api()
                .awaitDatabase(
                        tenant,
                        name,
                        Duration.ofSeconds(60),
                        json -> json.path("generation").asLong() > generation
                                && json.path("state").asText().equals("ready"));
    }

    /** Every process of the running compute. */
    List<Long> processes() {
        return PostgresProcesses.ofDatabase(platform.data(), id);
    }

    long postmaster() {
        return PostgresProcesses.postmaster(platform.data(), id);
    }

    WriterAgent agent() throws IOException {
        return WriterAgent.of(platform.data(), id, generation());
    }

    /** Waits until three Safekeepers have what the writer had written a moment ago. */
    void awaitAllFollow() throws Exception {
        awaitAllFollow(Duration.ofSeconds(60));
    }

    void awaitAllFollow(Duration limit) throws Exception {
        WriterAgent agent = agent();
        long written = agent.number("SELECT pg_current_wal_lsn() - '0/0'");
        Awaitility.await("three Safekeepers follow")
                .atMost(limit)
                .pollInterval(Duration.ofMillis(50))
                .until(() ->
                        agent.number("SELECT count(*) FROM pg_stat_replication WHERE flush_lsn - '0/0' >= " + written)
                                == 3);
    }

    /** Waits until a Safekeeper has what the writer had written a moment ago. */
    void awaitFollows(String safekeeper) throws Exception {
        WriterAgent agent = agent();
        long written = agent.number("SELECT pg_current_wal_lsn() - '0/0'");
        Awaitility.await(safekeeper + " follows")
                .atMost(Duration.ofSeconds(60))
                .pollInterval(Duration.ofMillis(50))
                .until(() -> agent.number("SELECT count(*) FROM pg_stat_replication WHERE application_name = '"
                                + safekeeper + "' AND flush_lsn - '0/0' >= " + written)
                        == 1);
    }

    /** A ledger whose clients are at work, {@code entries} transactions done. */
    Ledger openLedger(int clients, int entries) throws Exception {
        Ledger ledger = new Ledger(url(), user, password);
        ledger.createTable();
        ledger.start(clients);
        ledger.awaitProgress(entries);
        return ledger;
    }

    /** Asks for another profile, without waiting for it. */
    void scale(String profile) {
        platform.dev()
                .api()
                .post("/v2/tenants/" + tenant + "/dbs/" + name + "/scale", "{\"profile\":\"" + profile + "\"}");
    }

    /** Waits until the writer has a profile and nothing moves. */
    JsonNode awaitProfile(String profile) {
        return await(json -> json.path("current_profile").asText().equals(profile)
                && json.path("state").asText().equals("ready")
                && List.of("STEADY", "COOLDOWN")
                        .contains(json.path("scale_state").asText()));
    }

    JsonNode awaitScaleState(String state) {
        return await(json -> json.path("scale_state").asText().equals(state));
    }

    JsonNode await(Predicate<JsonNode> wanted) {
        return platform.dev().api().awaitDatabase(tenant, name, Duration.ofSeconds(60), wanted);
    }

    /** In order. */
    void stop() {
        platform.dev().api().stop(tenant, name);
    }

    void delete() {
        platform.dev().api().delete("/v2/tenants/" + tenant + "?cascade=true");
    }
}
