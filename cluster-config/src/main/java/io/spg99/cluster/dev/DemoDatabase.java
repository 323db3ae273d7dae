package io.spg99.cluster.dev;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/** The database that a new user finds ready, made the way a user makes one: through the API. */
final class DemoDatabase {

    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int COMMITS = 5000;
    private static final int CREATED = 201;
    private static final int ACCEPTED = 202;
    private static final int NOT_FOUND = 404;
    private static final int CONFLICT = 409;
    private static final int OK = 200;

    private final HttpClient http;
    private final String url;
    private final String key;

    private DemoDatabase(HttpClient http, String url, String key) {
        this.http = http;
        this.url = url;
        this.key = key;
    }

    /** Makes tenant and database unless they are there. */
    static void make(String url, String key, String tenant, String database) throws IOException {
        try (HttpClient http = HttpClient.newHttpClient()) {
            DemoDatabase demo = new DemoDatabase(http, url, key);
            demo.post("/v2/tenants", tenant);
            demo.post("/v2/tenants/" + tenant + "/dbs", database);
        }
    }

    /** The database's DSN; empty if it is not there. */
    static Optional<String> dsn(String url, String key, String tenant, String database) throws IOException {
        try (HttpClient http = HttpClient.newHttpClient()) {
            DemoDatabase demo = new DemoDatabase(http, url, key);
            String path = "/v2/tenants/" + tenant;
            JsonNode credentials = demo.call("GET", path + "/credentials", "", OK, NOT_FOUND);
            JsonNode there = demo.call("GET", path + "/dbs/" + database, "", OK, NOT_FOUND);
            return credentials.has("error") || there.has("error")
                    ? Optional.empty()
                    : Optional.of(credentials.path("dsn_template").asText().replace("{database}", database));
        }
    }

    /** Commits through the whole chain some thousand times, then stops and wakes a database {@code rounds} times. */
    static void train(String url, String key, String tenant, String database, int rounds) throws IOException {
        String dsn = dsn(url, key, tenant, database)
                .orElseThrow(() -> new IOException("the demo database was deleted: start with --reset"));
        URI address = URI.create(dsn);
        String[] login = address.getUserInfo().split(":", 2);
        String jdbcUrl = "jdbc:postgresql://%s:%d%s?sslmode=require"
                .formatted(address.getHost(), address.getPort(), address.getPath());
        try (HttpClient http = HttpClient.newHttpClient()) {
            DemoDatabase demo = new DemoDatabase(http, url, key);
            String path = "/v2/tenants/" + tenant + "/dbs/" + database;
            try (Connection connection = DriverManager.getConnection(jdbcUrl, login[0], login[1]);
                    PreparedStatement commit = connection.prepareStatement("SELECT pg_current_xact_id()")) {
                for (int i = 0; i < COMMITS; i++) {
                    commit.execute();
                }
            }
            for (int round = 0; round < rounds; round++) {
                try (Connection connection = DriverManager.getConnection(jdbcUrl, login[0], login[1]);
                        Statement statement = connection.createStatement()) {
                    statement.execute("SELECT count(*) FROM pg_class");
                }
                demo.call("POST", path + "/stop", "", ACCEPTED);
                while (!demo.call("GET", path, "", OK).path("state").asText().equals("stopped")) {
                    LockSupport.parkNanos(Duration.ofMillis(10).toNanos());
                }
            }
        } catch (SQLException e) {
            throw new IOException("the demo database cannot be used: " + e.getMessage(), e);
        }
    }

    private void post(String path, String name) throws IOException {
        call("POST", path, "{\"name\":\"" + name + "\"}", CREATED, CONFLICT);
    }

    private JsonNode call(String method, String path, String body, int... expected) throws IOException {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + path))
                .timeout(LIMIT)
                .header("Authorization", "Bearer " + key)
                .header("Content-Type", "application/json")
                .method(method, HttpRequest.BodyPublishers.ofString(body))
                .build();
        try {
            HttpResponse<String> response = http.send(request, HttpResponse.BodyHandlers.ofString());
            for (int status : expected) {
                if (response.statusCode() == status) {
                    return new ObjectMapper().readTree(response.body());
                }
            }
            throw new IOException(
                    "%s %s answered %d: %s".formatted(method, path, response.statusCode(), response.body()));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }
}
