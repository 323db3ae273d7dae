package io.spg99.lifecycle.http;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.apache.pekko.http.javadsl.model.ContentTypes;
import org.apache.pekko.http.javadsl.model.HttpMethods;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.http.javadsl.model.StatusCodes;
import org.apache.pekko.util.ByteString;

/** What needs no key: health, metrics, the API's own description, and a page for browsers in place of the Console. */
final class SystemRoutes {

    private final ApiServices services;
    private final ByteString openApi = resource("openapi.json");
    private final ByteString console = resource("console.html");

    SystemRoutes(ApiServices services) {
        this.services = services;
    }

    List<Route> routes() {
        return List.of(
                Route.of(HttpMethods.GET, "/", this::console).open(),
                Route.of(HttpMethods.GET, "/v2/health", this::health).open().query("probe"),
                Route.of(HttpMethods.GET, "/v2/openapi.json", this::description).open(),
                Route.of(HttpMethods.GET, "/metrics", this::metrics).open());
    }

    static byte[] openApi() {
        return resource("openapi.json").toArray();
    }

    private static ByteString resource(String name) {
        try (InputStream in = SystemRoutes.class.getResourceAsStream(name)) {
            if (in == null) {
                throw new IllegalStateException(name + " is missing from the program");
            }
            return ByteString.fromArray(in.readAllBytes());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private CompletionStage<HttpResponse> health(ApiRequest request) {
        String probe = request.query("probe").orElse("ready");
        if (!probe.equals("ready") && !probe.equals("live")) {
            throw ApiError.badField("probe", "query parameter \"probe\" must be live or ready");
        }
        SortedMap<String, Health.RoleHealth> roles = services.health().roles();
        boolean live = roles.values().stream().allMatch(Health.RoleHealth::live);
        boolean ready = live && roles.values().stream().allMatch(Health.RoleHealth::ready);
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("live", live);
        json.put("ready", ready);
        json.put("roles", roles);
        boolean good = probe.equals("live") ? live : ready;
        return CompletableFuture.completedStage(
                Responses.json(good ? StatusCodes.OK : StatusCodes.SERVICE_UNAVAILABLE, json));
    }

    private CompletionStage<HttpResponse> description(ApiRequest request) {
        return CompletableFuture.completedStage(
                HttpResponse.create().withEntity(ContentTypes.APPLICATION_JSON, openApi));
    }

    private CompletionStage<HttpResponse> console(ApiRequest request) {
        return CompletableFuture.completedStage(HttpResponse.create().withEntity(ContentTypes.TEXT_HTML_UTF8, console));
    }

    private CompletionStage<HttpResponse> metrics(ApiRequest request) {
        return CompletableFuture.completedStage(HttpResponse.create()
                .withEntity(
                        ContentTypes.parse("text/plain; version=0.0.4; charset=utf-8"),
                        ByteString.fromString(services.meters().scrape())));
    }
}
