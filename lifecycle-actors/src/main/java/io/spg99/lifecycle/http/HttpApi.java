package io.spg99.lifecycle.http;

import io.spg99.lifecycle.catalog.CatalogConflict;
import io.spg99.lifecycle.catalog.CatalogUnavailable;
import java.net.BindException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.http.javadsl.Http;
import org.apache.pekko.http.javadsl.ServerBinding;
import org.apache.pekko.http.javadsl.model.HttpHeader;
import org.apache.pekko.http.javadsl.model.HttpRequest;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.http.javadsl.model.headers.Authorization;
import org.apache.pekko.http.scaladsl.model.EntityStreamSizeException;
import org.apache.pekko.http.scaladsl.model.IllegalUriException;
import org.apache.pekko.japi.Pair;
import org.apache.pekko.stream.Materializer;
import org.apache.pekko.stream.SystemMaterializer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.jdk.javaapi.DurationConverters;

/**
 * HTTP API v2: finds the {@link Route} of a request, checks what is the same for all of them (key, query, body), and turns
 * every failure into the error form of the contract.
 */
public final class HttpApi {

    /** No request of this API comes near it. */
    static final int MAX_BODY_BYTES = 64 * 1024;

    private static final Logger LOG = LoggerFactory.getLogger(HttpApi.class);

    /** Time for a body to arrive. */
    private static final Duration BODY_TIMEOUT = Duration.ofSeconds(10);

    private final ApiServices services;
    private final ApiSettings settings;
    private final Materializer materializer;
    private final List<Route> routes;

    private HttpApi(ActorSystem<?> system, ApiSettings settings, ApiServices services) {
        this.services = services;
        this.settings = settings;
        this.materializer = SystemMaterializer.get(system).materializer();
        this.routes = routes(services, settings);
    }

    static List<Route> routes(ApiServices services, ApiSettings settings) {
        return Stream.of(
                        new SystemRoutes(services).routes(),
                        new EventRoutes(services).routes(),
                        new TenantRoutes(services).routes(),
                        new DatabaseRoutes(services, settings).routes())
                .flatMap(List::stream)
                .toList();
    }

    /**
     * Serves the API until the binding is unbound.
     *
     * @return fails with {@link BindException}, its message naming the address, if that is taken or not ours
     */
    public static CompletionStage<ServerBinding> start(
            ActorSystem<?> system, ApiSettings settings, ApiServices services) {
        HttpApi api = new HttpApi(system, settings, services);
        return Http.get(system)
                .newServerAt(settings.host(), settings.port())
                .adaptSettings(server -> server.withServerHeader(Optional.empty())
                        .withParsingErrorHandler(ParseErrors.class.getName())
                        .withTimeouts(server.getTimeouts()
                                .withRequestTimeout(DurationConverters.toScala(
                                        settings.requestTimeout().plusSeconds(5)))))
                .bind(api::handle)
                .exceptionallyCompose(failure -> CompletableFuture.failedStage(notBound(settings, failure)));
    }

    private static BindException notBound(ApiSettings settings, Throwable failure) {
        BindException clear = new BindException("the HTTP API cannot listen on " + settings.host() + ":"
                + settings.port() + ": choose another port, or stop what uses this one");
        clear.initCause(cause(failure));
        return clear;
    }

    private CompletionStage<HttpResponse> handle(HttpRequest request) {
        return answer(request)
                .toCompletableFuture()
                .orTimeout(settings.requestTimeout().toMillis(), TimeUnit.MILLISECONDS)
                .exceptionally(failure -> Responses.error(error(request, cause(failure))));
    }

    private CompletionStage<HttpResponse> answer(HttpRequest request) {
        try {
            String path = request.getUri().getPathString();
            List<Route> here = routes.stream()
                    .filter(route -> route.match(path).isPresent())
                    .toList();
            if (here.isEmpty()) {
                throw ApiError.notFound("there is nothing at this path: GET /v2/openapi.json describes what there is");
            }
            Route route = here.stream()
                    .filter(r -> r.method().equals(request.method()))
                    .findFirst()
                    .orElseThrow(() -> ApiError.methodNotAllowed(
                            here.stream().map(r -> r.method().value()).collect(Collectors.joining(", "))));
            return authorize(route, request).thenCompose(allowed -> read(route, request, path));
        } catch (RuntimeException e) {
            request.discardEntityBytes(materializer);
            return CompletableFuture.failedStage(e);
        }
    }

    private CompletionStage<Boolean> authorize(Route route, HttpRequest request) {
        if (route.access() == Route.Access.OPEN) {
            return CompletableFuture.completedStage(true);
        }
        String key = request.getHeader(Authorization.class)
                .filter(header -> header.credentials().scheme().equalsIgnoreCase("Bearer"))
                .map(header -> header.credentials().token())
                .filter(token -> !token.isEmpty())
                .orElseThrow(ApiError::unauthorized);
        return services.catalog().apiKeys().find(key).thenApply(found -> {
            if (found.isEmpty()) {
                request.discardEntityBytes(materializer);
                throw ApiError.unauthorized();
            }
            return true;
        });
    }

    private CompletionStage<HttpResponse> read(Route route, HttpRequest request, String path) {
        Map<String, String> named = route.match(path).orElseThrow();
        Map<String, String> query;
        try {
            query = query(route, request);
        } catch (RuntimeException e) {
            request.discardEntityBytes(materializer);
            throw e;
        }
        return body(route, request)
                .thenCompose(body -> route.handler()
                        .handle(new ApiRequest(
                                named, query, request.getHeader("Last-Event-ID").map(HttpHeader::value), body)));
    }

    private static Map<String, String> query(Route route, HttpRequest request) {
        Map<String, String> query = new HashMap<>();
        for (Pair<String, String> parameter : request.getUri().query().toList()) {
            String name = parameter.first();
            if (!route.query().contains(name)) {
                throw ApiError.badRequest("unknown query parameter: "
                        + (route.query().isEmpty()
                                ? "this path takes none"
                                : "known are " + String.join(", ", route.query())));
            }
            if (query.put(name, parameter.second()) != null) {
                throw ApiError.badField(name, "query parameter \"" + name + "\" is given twice");
            }
        }
        return query;
    }

    private CompletionStage<JsonBody> body(Route route, HttpRequest request) {
        Optional<List<String>> fields = route.body();
        // Every body is read as JSON, whatever type it is sent as: curl -d says it sends a form.
        return request.entity()
                .withSizeLimit(MAX_BODY_BYTES)
                .toStrict(BODY_TIMEOUT.toMillis(), materializer)
                .exceptionallyCompose(failure -> CompletableFuture.failedStage(notRead(cause(failure))))
                .thenApply(strict -> JsonBody.parse(
                        fields.isPresent() ? strict.getData().toArray() : JsonBody.NOTHING, fields.orElse(List.of())));
    }

    private static Throwable notRead(Throwable failure) {
        return switch (failure) {
            case TimeoutException timeout -> ApiError.badRequest("the body did not arrive in time: send it at once");
            case EntityStreamSizeException tooLarge -> ApiError.tooLarge(MAX_BODY_BYTES);
            default -> ApiError.badRequest("the body did not arrive whole: send it again");
        };
    }

    private static ApiError error(HttpRequest request, Throwable failure) {
        return switch (failure) {
            case ApiError error -> error;
            case CatalogConflict conflict -> ApiError.conflict(String.valueOf(conflict.getMessage()));
            case CatalogUnavailable unavailable -> {
                LOG.warn("catalog unavailable: {} {}", request.method().value(), unavailable.getMessage());
                yield ApiError.unavailable("the catalog cannot be asked now: try again in a moment");
            }
            case IllegalUriException illegal ->
                ApiError.badRequest("the path or query cannot be read, correct it: "
                        + illegal.info().summary());
            case TimeoutException timeout ->
                ApiError.unavailable("no answer in time: check what became of the request, then try again");
            default -> {
                String reference = UUID.randomUUID().toString();
                LOG.error(
                        "request failed: method={} reference={}",
                        request.method().value(),
                        reference,
                        failure);
                yield ApiError.internal(reference);
            }
        };
    }

    /** What is behind the wrappers of futures. */
    static Throwable cause(Throwable failure) {
        Throwable cause = failure;
        while (cause instanceof CompletionException && cause.getCause() != null) {
            cause = cause.getCause();
        }
        return cause;
    }
}
