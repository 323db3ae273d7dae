package io.spg99.tests.process;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** HTTP API v2 as a user's program calls it. */
public final class ApiClient {

    private static final ObjectMapper JSON = new ObjectMapper();

    private final HttpClient http = HttpClient.newHttpClient();
    private final String url;
    private final String key;

    public ApiClient(String url, String key) {
        this.url = url;
        this.key = key;
    }

    /** An answer: status and JSON body (missing node if there is none). */
    public record Answer(int status, JsonNode body) {}

    public Answer get(String path) {
        return call("GET", path, null);
    }

    public Answer post(String path, String json) {
        return call("POST", path, json);
    }

    public Answer delete(String path) {
        return call("DELETE", path, null);
    }

    public Answer call(String method, String path, @Nullable String json) {
        HttpRequest.BodyPublisher body =
                json == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(json);
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + path))
                .timeout(Duration.ofSeconds(60))
                .header("Authorization", "Bearer " + key)
                .header("Content-Type", "application/json")
                .method(method, body)
                .build();
        HttpResponse<String> response = send(request);
        boolean isJson =
                response.headers().firstValue("Content-Type").orElse("").contains("json");
        try {
            return new Answer(response.statusCode(), isJson ? JSON.readTree(response.body()) : JSON.missingNode());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The text of an answer that is not JSON, such as {@code /metrics}. */
    public String text(String path) {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + path))
                .timeout(Duration.ofSeconds(60))
                .build();
        return send(request).body();
    }

    /** Follows {@code /v2/events} from now on; to be closed. */
    public EventFollower follow() {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + "/v2/events"))
                .header("Authorization", "Bearer " + key)
                .build();
        try {
            return new EventFollower(
                    http.send(request, HttpResponse.BodyHandlers.ofLines()).body());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    private HttpResponse<String> send(HttpRequest request) {
        try {
            return http.send(request, HttpResponse.BodyHandlers.ofString());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    public JsonNode database(String tenant, String database) {
        return get("/v2/tenants/" + tenant + "/dbs/" + database).body();
    }

    /** Asks for a database every 20 ms until it is as wanted. */
    public JsonNode awaitDatabase(String tenant, String database, Duration limit, Predicate<JsonNode> wanted) {
        Instant end = Instant.now().plus(limit);
        JsonNode last = database(tenant, database);
        while (!wanted.test(last)) {
            if (Instant.now().isAfter(end)) {
                throw new IllegalStateException("database not as wanted in " + limit + ": " + last);
            }
            LockSupport.parkNanos(Duration.ofMillis(20).toNanos());
            last = database(tenant, database);
        }
        return last;
    }

    /** Stops a database and waits until it is {@code stopped}. */
    public void stop(String tenant, String database) {
        post("/v2/tenants/" + tenant + "/dbs/" + database + "/stop", "");
        awaitDatabase(
                tenant,
                database,
                Duration.ofSeconds(30),
                json -> json.path("state").asText().equals("stopped"));
    }
}
