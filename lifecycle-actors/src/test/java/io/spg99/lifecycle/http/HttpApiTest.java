package io.spg99.lifecycle.http;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.lifecycle.catalog.EventRows;
import io.spg99.lifecycle.catalog.Secrets;
import io.spg99.lifecycle.model.DatabaseChange;
import io.spg99.lifecycle.model.Json;
import java.io.IOException;
import java.io.InputStream;
import java.net.BindException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.http.javadsl.ServerBinding;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** The API over a socket, with a catalog on a real PostgreSQL and databases that only pretend. */
class HttpApiTest {

    private static final SecureRandom RANDOM = new SecureRandom();
    private static final String KEY = new Secrets(RANDOM).apiKey();
    private static final AtomicInteger NUMBER = new AtomicInteger();
    private static final ConcurrentSkipListMap<String, Health.RoleHealth> HEALTH =
            new ConcurrentSkipListMap<>(Map.of("control", new Health.RoleHealth(true, true, "catalog answers")));
    private static final ActorTestKit KIT = ActorTestKit.create();
    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    private static final ApiServices SERVICES = TestServices.with(KEY, () -> HEALTH);
    private static final Server ENABLED = serve(SERVICES, true);
    private static final Server DISABLED = serve(SERVICES, false);

    private record Server(int port, Runnable stop) {}

    private record Answer(int status, JsonNode json, HttpResponse<String> raw) {
        String text(String field) {
            return json.path(field).asText();
        }
    }

    private static Server serve(ApiServices services, boolean actions) {
        ServerBinding binding = HttpApi.start(
                        KIT.system(),
                        new ApiSettings("127.0.0.1", 0, actions, Duration.ofMinutes(5), Duration.ofSeconds(10)),
                        services)
                .toCompletableFuture()
                .join();
        return new Server(
                binding.localAddress().getPort(),
                () -> binding.unbind().toCompletableFuture().join());
    }

    @AfterAll
    static void stop() {
        ENABLED.stop().run();
        DISABLED.stop().run();
        SERVICES.catalog().close();
        KIT.shutdownTestKit();
    }

    private static HttpRequest.Builder request(Server server, String path) {
        return HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + server.port() + path))
                .timeout(Duration.ofSeconds(10))
                .header("Authorization", "Bearer " + KEY);
    }

    private static Answer send(HttpRequest.Builder request) {
        try {
            HttpResponse<String> response = CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofString());
            boolean json =
                    response.headers().firstValue("Content-Type").orElse("").startsWith("application/json");
            Answer answer = new Answer(
                    response.statusCode(),
                    json ? Json.MAPPER.readTree(response.body()) : Json.MAPPER.nullNode(),
                    response);
            if (answer.status() >= 400) {
                assertTrue(answer.json().hasNonNull("error"), response.body());
                assertFalse(answer.text("message").isEmpty(), response.body());
                assertTrue(answer.json().path("details").isObject(), response.body());
                assertFalse(
                        response.body().contains("io.spg99") || response.body().contains("Exception"), response.body());
            }
            return answer;
        } catch (IOException e) {
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static Answer get(String path) {
        return send(request(ENABLED, path).GET());
    }

    private static Answer delete(String path) {
        return send(request(ENABLED, path).DELETE());
    }

    private static Answer post(Server server, String path, String body) {
        return send(request(server, path)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body)));
    }

    private static Answer post(String path, String body) {
        return post(ENABLED, path, body);
    }

    private static Answer patch(String path, String body) {
        return send(request(ENABLED, path)
                .header("Content-Type", "application/json")
                .method("PATCH", HttpRequest.BodyPublishers.ofString(body)));
    }

    /** Path of a new tenant. */
    private static String tenant() {
        String name = "tenant" + NUMBER.incrementAndGet();
        assertEquals(201, post("/v2/tenants", "{\"name\":\"" + name + "\"}").status());
        return "/v2/tenants/" + name;
    }

    /** Path of a new database. */
    private static String database(String tenant, String name) {
        assertEquals(201, post(tenant + "/dbs", "{\"name\":\"" + name + "\"}").status());
        return tenant + "/dbs/" + name;
    }

    private static void assertError(int status, String error, Answer answer) {
        assertEquals(status, answer.status(), answer.raw().body());
        assertEquals(error, answer.text("error"));
    }

    @Test
    void givenATenant_whenItsCredentialsAreReadAndRotated_thenTheDsnFollows() {
        Answer made = post("/v2/tenants", "{\"name\":\"acme\"}");
        assertEquals(201, made.status());
        assertTrue(made.text("pg_user").matches("tnt_[a-z0-9]{10}"));
        assertEquals(
                "postgres://" + made.text("pg_user") + ":" + made.text("pg_password")
                        + "@localhost:6432/{database}?sslmode=require",
                made.text("dsn_template"));
        Answer credentials = get("/v2/tenants/acme/credentials");
        assertEquals(made.text("pg_password"), credentials.text("pg_password"));
        Answer rotated = post("/v2/tenants/acme/credentials/rotate", "");
        assertEquals(200, rotated.status());
        assertNotEquals(made.text("pg_password"), rotated.text("pg_password"));
        assertEquals(made.text("pg_user"), rotated.text("pg_user"));
        assertEquals("acme", get("/v2/tenants/" + made.text("id")).text("name"));
        assertFalse(get("/v2/tenants/acme").raw().body().contains("password"));
        assertError(409, "Conflict", post("/v2/tenants", "{\"name\":\"acme\"}"));
    }

    @Test
    void givenTenants_whenListed_thenPaged() {
        tenant();
        tenant();
        Answer page = get("/v2/tenants?limit=1&offset=1");
        assertEquals(1, page.json().path("items").size());
        assertTrue(page.json().path("total").asInt() >= 2);
        for (String bad : List.of("limit=0", "limit=501", "limit=x", "offset=-1", "limit=1&limit=2", "page=1")) {
            assertError(400, "BadRequest", get("/v2/tenants?" + bad));
        }
    }

    @Test
    void givenADatabase_whenDescribed_thenEveryFieldOfTheContractIsThere() throws Exception {
        String tenant = tenant();
        Answer made = post(tenant + "/dbs", "{\"name\":\"app\",\"size\":\"L2\",\"idle_timeout\":\"90s\"}");
        assertEquals(201, made.status());
        assertEquals("stopped", made.text("state"));
        assertEquals("1m30s", made.text("idle_timeout"));
        Answer described = get(tenant + "/dbs/app");
        assertEquals(made.json(), described.json());
        String fields = "id, name, tenant, size, state, timeline_id, generation, worker_id, created_at, last_used_at,"
                + " active_connections, current_scale, target_scale, current_profile, target_profile, candidate_profile,"
                + " scale_state, freeze_new_checkouts, scale_failure_reason, idle_timeout, autoscale, min_profile,"
                + " max_profile, last_error, storage_bytes, wal_lsn, snapshot_lsn";
        JsonNode schema = Json.MAPPER.readTree(SystemRoutes.openApi()).at("/components/schemas/Database/properties");
        for (String field : fields.split(", *", -1)) {
            assertTrue(described.json().has(field), field);
            assertTrue(schema.has(field), () -> field + " is not in openapi.json");
        }
        assertEquals(schema.size(), described.json().size());
        assertEquals("2026-11-22T10:00:00Z", described.text("created_at"));
    }

    @Test
    void givenDatabases_whenListed_thenFilteredByState() {
        String tenant = tenant();
        database(tenant, "one");
        String two = database(tenant, "two");
        assertEquals(202, post(two + "/start", "").status());
        assertEquals(2, get(tenant + "/dbs").json().path("total").asInt());
        Answer booting = get(tenant + "/dbs?state=booting");
        assertEquals(1, booting.json().path("total").asInt());
        assertEquals("two", booting.json().at("/items/0/name").asText());
        assertError(400, "BadRequest", get(tenant + "/dbs?state=asleep"));
        assertError(409, "Conflict", post(tenant + "/dbs", "{\"name\":\"one\"}"));
        assertError(400, "BadRequest", post(tenant + "/dbs", "{\"name\":\"spg99\"}"));
    }

    @Test
    void givenADatabase_whenStartedStoppedChangedAndDeleted_thenAccepted() {
        String tenant = tenant();
        String path = database(tenant, "app");
        assertEquals("booting", post(path + "/start", "").text("state"));
        assertEquals("stopping", post(path + "/stop", "{}").text("state"));
        Answer changed = patch(path, "{\"idle_timeout\":\"never\",\"max_profile\":\"L4\"}");
        assertEquals(200, changed.status());
        assertEquals("never", changed.text("idle_timeout"));
        assertEquals("L4", changed.text("max_profile"));
        assertEquals(
                "300",
                patch(path, "{\"idle_timeout\":300}").text("idle_timeout").replace("5m", "300"));
        assertEquals("transaction", changed.text("pool_mode"));
        assertEquals("session", patch(path, "{\"pool_mode\":\"session\"}").text("pool_mode"));
        assertEquals("session", patch(path, "{\"autoscale\":true}").text("pool_mode"));
        assertError(400, "BadRequest", patch(path, "{\"pool_mode\":\"statement\"}"));
        assertError(400, "BadRequest", patch(path, "{\"min_profile\":\"L5\"}"));
        assertEquals("L5", patch(path, "{\"size\":\"L5\"}").text("size"));
        assertError(400, "BadRequest", patch(path, "{\"size\":\"L6\"}"));
        assertEquals(202, post(path + "/scale", "{\"profile\":\"L3\"}").status());
        assertError(400, "BadRequest", post(path + "/scale", "{}"));
        Answer deleted = delete(path);
        assertEquals(202, deleted.status());
        assertEquals("deleting", deleted.text("state"));
    }

    @Test
    void givenAFollower_whenThingsHappen_thenItHearsThemInOrderAndComesBackToWhatItHasMissed() throws Exception {
        EventRows events = SERVICES.catalog().events();
        HttpResponse<Stream<String>> first =
                CLIENT.send(request(ENABLED, "/v2/events").GET().build(), HttpResponse.BodyHandlers.ofLines());
        assertEquals(
                "text/event-stream", first.headers().firstValue("Content-Type").orElseThrow());
        for (String to : List.of("booting", "ready", "stopping")) {
            events.add(new DatabaseChange(Instant.now(), "state", "db1", "demo", "app", "stopped", to, "asked for"))
                    .toCompletableFuture()
                    .join();
        }
        List<String> heard;
        try (Stream<String> lines = first.body()) {
            heard = lines.filter(line -> line.startsWith("id: ") || line.startsWith("data: "))
                    .limit(6)
                    .toList();
        }
        assertEquals(
                "booting",
                Json.MAPPER.readTree(heard.get(1).substring(6)).path("to").asText());
        HttpResponse<Stream<String>> again = CLIENT.send(
                request(ENABLED, "/v2/events")
                        .header("Last-Event-ID", heard.getFirst().substring(4))
                        .GET()
                        .build(),
                HttpResponse.BodyHandlers.ofLines());
        try (Stream<String> lines = again.body()) {
            assertEquals(
                    heard.subList(2, 6),
                    lines.filter(line -> line.startsWith("id: ") || line.startsWith("data: "))
                            .limit(4)
                            .toList());
        }
        assertError(400, "BadRequest", get("/v2/events?since=yesterday"));
    }

    @Test
    void givenActiveConnections_whenDeleted_thenConflictUnlessForced() {
        String path = database(tenant(), FakeDatabases.BUSY);
        assertError(409, "Conflict", delete(path));
        assertError(400, "BadRequest", delete(path + "?force=yes"));
        assertEquals(202, delete(path + "?force=true").status());
    }

    @Test
    void givenATenantWithDatabases_whenDeleted_thenOnlyWithCascade() {
        String tenant = tenant();
        database(tenant, "app");
        assertError(409, "Conflict", delete(tenant));
        Answer deleted = delete(tenant + "?cascade=true");
        assertEquals(202, deleted.status());
        assertEquals("deleting", deleted.text("state"));
        assertError(409, "Conflict", post(tenant + "/dbs", "{\"name\":\"more\"}"));
        String empty = tenant();
        assertEquals(202, delete(empty).status());
        assertError(404, "NotFound", get(empty));
    }

    @Test
    void givenADatabaseThatDoesNotAnswer_whenCreated_thenUnavailableWithRetryAfter() {
        String tenant = tenant();
        Answer late = post(tenant + "/dbs", "{\"name\":\"" + FakeDatabases.SILENT + "\"}");
        assertError(503, "Unavailable", late);
        assertTrue(late.raw().headers().firstValue("Retry-After").isPresent());
        assertTrue(late.text("message").contains("still being created"));
        assertEquals("creating", get(tenant + "/dbs/" + FakeDatabases.SILENT).text("state"));
    }

    @Test
    void givenBadBodies_whenPosted_thenEachIsToldWhatIsWrong() {
        Map<String, String> bad = Map.ofEntries(
                Map.entry("", "JSON object"),
                Map.entry("{", "line 1"),
                Map.entry("[]", "JSON object"),
                Map.entry("null", "JSON object"),
                Map.entry("{}", "\"name\" is missing"),
                Map.entry("{\"name\":null}", "\"name\" is missing"),
                Map.entry("{\"name\":5}", "must be a string"),
                Map.entry("{\"name\":\"1a\"}", "a name begins with"),
                Map.entry("{\"name\":\"" + "a".repeat(64) + "\"}", "at most 63 bytes"),
                Map.entry("{\"name\":\"a\",\"nmae\":1}", "unknown field \"nmae\""),
                Map.entry("{\"name\":\"a\",\"name\":\"b\"}", "each field once"),
                Map.entry("{\"name\":\"a\"} {}", "not valid JSON"),
                Map.entry("{\"name\":\"a\u0000\"}", "not valid JSON"),
                Map.entry("[".repeat(5000), "not valid JSON"));
        bad.forEach((body, complaint) -> {
            Answer answer = post("/v2/tenants", body);
            assertError(400, "BadRequest", answer);
            assertTrue(answer.text("message").contains(complaint), () -> body + " -> " + answer.text("message"));
        });
        String tenant = tenant();
        for (String field : List.of(
                "\"size\":\"L6\"",
                "\"size\":1",
                "\"idle_timeout\":\"soon\"",
                "\"idle_timeout\":0",
                "\"idle_timeout\":1.5",
                "\"idle_timeout\":{}",
                "\"autoscale\":\"yes\"",
                "\"initial_scale\":2",
                "\"start_immediately\":1",
                "\"min_profile\":\"L3\",\"max_profile\":\"L2\"")) {
            assertError(400, "BadRequest", post(tenant + "/dbs", "{\"name\":\"app\"," + field + "}"));
        }
        assertEquals(0, get(tenant + "/dbs").json().path("total").asInt());
    }

    @Test
    void givenAHugeBody_whenPosted_thenRefused() {
        String huge = "{\"name\":\"" + "a".repeat(HttpApi.MAX_BODY_BYTES) + "\"}";
        assertError(413, "TooLarge", post("/v2/tenants", huge));
        assertError(
                413,
                "TooLarge",
                send(request(ENABLED, "/v2/tenants")
                        .header("Content-Type", "application/json")
                        .POST(HttpRequest.BodyPublishers.fromPublisher(HttpRequest.BodyPublishers.ofString(huge)))));
        assertEquals(200, get("/v2/tenants").status());
    }

    @Test
    void givenNoOrAWrongKey_whenAsked_thenUnauthorizedButForWhatIsOpen() {
        for (String header : List.of("", "Bearer ", "Bearer spg99_wrong", "Basic " + KEY, "nonsense")) {
            HttpRequest.Builder request =
                    HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + ENABLED.port() + "/v2/tenants"));
            Answer answer = send(header.isEmpty() ? request : request.header("Authorization", header));
            assertError(401, "Unauthorized", answer);
            assertTrue(answer.raw().headers().firstValue("WWW-Authenticate").isPresent());
        }
        for (String open : List.of("/v2/health", "/v2/openapi.json", "/metrics")) {
            HttpRequest.Builder request =
                    HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + ENABLED.port() + open));
            assertEquals(200, send(request).status(), open);
        }
    }

    @Test
    void givenABrowser_whenItOpensTheRoot_thenAPageSaysWhereTheRestIs() {
        Answer page = send(HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + ENABLED.port() + "/")));
        assertEquals(200, page.status());
        assertTrue(page.raw().headers().firstValue("Content-Type").orElse("").startsWith("text/html"));
        assertTrue(page.raw().body().contains("/v2/openapi.json"));
    }

    /** What never becomes a request, or whose body ends before its end. */
    @Test
    void givenWhatIsNotHttp_whenSent_thenTheSameErrorForm() throws IOException {
        String rest = " HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer " + KEY + "\r\n";
        assertRawError(400, "BadRequest", "complete nonsense\r\n\r\n");
        assertRawError(400, "BadRequest", "BREW /v2/tenants" + rest + "\r\n");
        assertRawError(400, "BadRequest", "GET /v2/tenants HTTP/9.1\r\n\r\n");
        assertRawError(400, "BadRequest", "GET /v2/tenants?limit=%zz" + rest + "\r\n");
        assertRawError(400, "BadRequest", "GET /v2/%zz" + rest + "\r\n");
        assertRawError(400, "BadRequest", "GET /v2/tenants" + rest + "Content-Length: some\r\n\r\n");
        assertRawError(414, "TooLarge", "GET /v2/" + "a".repeat(5000) + rest + "\r\n");
        assertRawError(431, "TooLarge", "GET /v2/tenants" + rest + "Long: " + "a".repeat(20_000) + "\r\n\r\n");
        assertRawError(400, "BadRequest", "POST /v2/tenants" + rest + "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n");
    }

    private static void assertRawError(int status, String error, String sent) throws IOException {
        try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), ENABLED.port())) {
            socket.setSoTimeout(10_000);
            socket.getOutputStream().write(sent.getBytes(StandardCharsets.US_ASCII));
            String about = sent.lines().findFirst().orElse("");
            InputStream in = socket.getInputStream();
            StringBuilder head = new StringBuilder();
            while (head.indexOf("\r\n\r\n") < 0) {
                int next = in.read();
                assertTrue(next >= 0, () -> about + " -> " + head);
                head.append((char) next);
            }
            assertTrue(head.toString().startsWith("HTTP/1.1 " + status + " "), () -> about + " -> " + head);
            Matcher length = Pattern.compile("(?i)Content-Length: (\\d+)").matcher(head);
            assertTrue(length.find(), head::toString);
            JsonNode json = Json.MAPPER.readTree(in.readNBytes(Integer.parseInt(length.group(1))));
            assertEquals(error, json.path("error").asText(), about);
            assertTrue(json.hasNonNull("message") && json.path("details").isObject(), json::toString);
            assertFalse(json.toString().contains("a".repeat(100)), "nothing of what was sent is repeated");
        }
    }

    @Test
    void givenUnknownPathsAndMethods_whenAsked_thenTheSameErrorForm() {
        for (String path :
                List.of("//", "/v1/tenants", "/v2/tenants/", "/v2/tenants//dbs", "/v2/nothing", "/v2/tenants/a/b/c")) {
            assertError(404, "NotFound", get(path));
        }
        assertError(404, "NotFound", get("/v2/tenants/nobody"));
        assertError(404, "NotFound", get("/v2/tenants/nobody/dbs"));
        assertError(404, "NotFound", get(tenant() + "/dbs/nothing"));
        Answer wrong = send(request(ENABLED, "/v2/tenants").PUT(HttpRequest.BodyPublishers.noBody()));
        assertError(405, "MethodNotAllowed", wrong);
        assertEquals("POST, GET", wrong.raw().headers().firstValue("Allow").orElse(""));
    }

    @Test
    void givenDisabledLifecycleActions_whenUsed_thenOperationDisabled() {
        String tenant = tenant();
        String path = database(tenant, "app");
        assertError(409, "OperationDisabled", post(DISABLED, path + "/start", ""));
        assertError(409, "OperationDisabled", post(DISABLED, path + "/stop", ""));
        assertError(409, "OperationDisabled", post(DISABLED, tenant + "/dbs", "{\"name\":\"b\",\"initial_scale\":1}"));
        assertError(
                409,
                "OperationDisabled",
                post(DISABLED, tenant + "/dbs", "{\"name\":\"b\",\"start_immediately\":false}"));
        assertEquals(201, post(DISABLED, tenant + "/dbs", "{\"name\":\"b\"}").status());
        Answer started = post(tenant + "/dbs", "{\"name\":\"c\",\"start_immediately\":true}");
        assertEquals(201, started.status());
        assertEquals("booting", started.text("state"));
    }

    @Test
    void givenARoleThatIsNotReady_whenProbed_thenUnavailableButAlive() {
        HEALTH.put("gateway", new Health.RoleHealth(true, false, "starting"));
        // not an error: health has a form of its own
        HttpRequest request = request(ENABLED, "/v2/health").build();
        assertEquals(
                503,
                CLIENT.sendAsync(request, HttpResponse.BodyHandlers.ofString())
                        .join()
                        .statusCode());
        Answer live = get("/v2/health?probe=live");
        assertEquals(200, live.status());
        assertFalse(live.json().path("ready").asBoolean());
        assertEquals("starting", live.json().at("/roles/gateway/detail").asText());
        HEALTH.remove("gateway");
        assertTrue(get("/v2/health").json().path("ready").asBoolean());
    }

    @Test
    void givenABusyPort_whenStarted_thenTheMessageSaysWhatToDo() {
        ApiSettings settings =
                new ApiSettings("127.0.0.1", ENABLED.port(), true, Duration.ofMinutes(5), Duration.ofSeconds(1));
        CompletionException failed = assertThrows(
                CompletionException.class,
                () -> HttpApi.start(KIT.system(), settings, SERVICES)
                        .toCompletableFuture()
                        .join());
        BindException clear = assertInstanceOf(BindException.class, failed.getCause());
        assertTrue(String.valueOf(clear.getMessage()).contains("choose another port"));
    }
}
