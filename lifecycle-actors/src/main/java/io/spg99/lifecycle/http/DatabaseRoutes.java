package io.spg99.lifecycle.http;

import io.spg99.gateway.login.PoolMode;
import io.spg99.lifecycle.catalog.Catalog;
import io.spg99.lifecycle.catalog.DatabaseRow;
import io.spg99.lifecycle.catalog.Page;
import io.spg99.lifecycle.catalog.Tenant;
import io.spg99.lifecycle.database.DatabaseReply;
import io.spg99.lifecycle.database.Databases;
import io.spg99.lifecycle.database.Lifecycle;
import io.spg99.lifecycle.model.DatabaseSpec;
import io.spg99.lifecycle.model.DatabaseView;
import io.spg99.lifecycle.model.IdleTimeout;
import io.spg99.lifecycle.model.Profile;
import io.spg99.lifecycle.model.Tunables;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import java.util.stream.Stream;
import org.apache.pekko.http.javadsl.model.HttpMethods;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.http.javadsl.model.StatusCode;
import org.apache.pekko.http.javadsl.model.StatusCodes;

/** Databases: create, list, describe, change, delete, start, stop, scale. */
final class DatabaseRoutes {

    private static final List<String> TUNABLE =
            List.of("idle_timeout", "min_profile", "max_profile", "autoscale", "pool_mode");
    private static final List<String> CHANGE =
            Stream.of(List.of("size"), TUNABLE).flatMap(List::stream).toList();
    private static final List<String> CREATE = Stream.of(
                    List.of("name", "size"), TUNABLE, List.of("start_immediately", "initial_scale"))
            .flatMap(List::stream)
            .toList();

    /** Those a user can meet, for the list's filter. */
    private static final List<Lifecycle> STATES = Arrays.stream(Lifecycle.values())
            .filter(state -> state != Lifecycle.ABSENT && state != Lifecycle.DELETED)
            .toList();

    private record Found(Tenant tenant, DatabaseRow row) {
        String id() {
            return row.spec().databaseId();
        }
    }

    private final Catalog catalog;
    private final Databases databases;
    private final ApiServices services;
    private final ApiSettings settings;

    DatabaseRoutes(ApiServices services, ApiSettings settings) {
        this.services = services;
        this.catalog = services.catalog();
        this.databases = services.databases();
        this.settings = settings;
    }

    List<Route> routes() {
        String list = "/v2/tenants/{tenant}/dbs";
        String one = list + "/{database}";
        return List.of(
                Route.of(HttpMethods.POST, list, this::create).body(CREATE),
                Route.of(HttpMethods.GET, list, this::list).query("state", "limit", "offset"),
                Route.of(HttpMethods.GET, one, this::get),
                Route.of(HttpMethods.PATCH, one, this::change).body(CHANGE),
                Route.of(HttpMethods.DELETE, one, this::delete).query("force"),
                Route.of(HttpMethods.POST, one + "/start", this::start),
                Route.of(HttpMethods.POST, one + "/stop", this::stop),
                Route.of(HttpMethods.POST, one + "/scale", this::scale).body(List.of("profile")));
    }

    private CompletionStage<HttpResponse> create(ApiRequest request) {
        JsonBody body = request.body();
        for (String field : List.of("start_immediately", "initial_scale")) {
            if (body.has(field) && !settings.lifecycleActions()) {
                throw ApiError.operationDisabled("field \"" + field + "\"");
            }
        }
        String name = body.name("name");
        Profile size = body.profile("size").orElse(Profile.L1);
        Tunables tunables =
                tunables(body, new Tunables(settings.idleTimeout(), false, size, size, PoolMode.TRANSACTION));
        boolean start = body.bool("start_immediately").orElse(false)
                || body.scale("initial_scale").orElse(false);
        return TenantRoutes.find(catalog, request).thenCompose(tenant -> {
            DatabaseSpec spec = new DatabaseSpec(
                    services.secrets().id(),
                    name,
                    tenant.id(),
                    tenant.name(),
                    tenant.pgUser(),
                    size,
                    services.secrets().id(),
                    tunables);
            return catalog.databases().add(spec).thenCompose(added -> createNow(spec, start));
        });
    }

    private CompletionStage<HttpResponse> createNow(DatabaseSpec spec, boolean start) {
        return databases
                .create(spec)
                .exceptionallyCompose(failure -> CompletableFuture.failedStage(unfinished(spec, failure)))
                .thenCompose(reply -> start && reply instanceof DatabaseReply.Accepted
                        ? databases.start(spec.databaseId())
                        : CompletableFuture.completedStage(reply))
                .thenCompose(reply -> answer(StatusCodes.CREATED, reply));
    }

    private static Throwable unfinished(DatabaseSpec spec, Throwable failure) {
        Throwable cause = HttpApi.cause(failure);
        return cause instanceof TimeoutException
                ? ApiError.unavailable("the database is still being created: GET /v2/tenants/" + spec.tenant() + "/dbs/"
                        + spec.name() + " tells when its state is stopped")
                : cause;
    }

    /** The settable fields of {@code body} over {@code before}. */
    private static Tunables tunables(JsonBody body, Tunables before) {
        Profile min = body.profile("min_profile").orElse(before.minProfile());
        Profile max = body.profile("max_profile").orElse(before.maxProfile());
        if (min.compareTo(max) > 0) {
            throw ApiError.badField("min_profile", "field \"min_profile\" must not be larger than max_profile");
        }
        return new Tunables(
                body.idleTimeout("idle_timeout").orElse(before.idleTimeout()),
                body.bool("autoscale").orElse(before.autoscale()),
                min,
                max,
                body.poolMode("pool_mode").orElse(before.poolMode()));
    }

    private CompletionStage<HttpResponse> list(ApiRequest request) {
        Optional<Lifecycle> state = request.query("state").map(DatabaseRoutes::state);
        int limit = request.limit();
        long offset = request.offset();
        return TenantRoutes.find(catalog, request)
                .thenCompose(tenant -> catalog.databases().list(tenant.id(), state, limit, offset))
                .thenApply(page -> {
                    List<DatabaseView> views = new ArrayList<>();
                    page.items().forEach(row -> views.add(view(row)));
                    return Responses.json(
                            StatusCodes.OK, TenantRoutes.page(new Page<>(views, page.total()), limit, offset));
                });
    }

    private static Lifecycle state(String word) {
        return STATES.stream()
                .filter(state -> state.word().equals(word))
                .findFirst()
                .orElseThrow(() -> ApiError.badField(
                        "state",
                        "query parameter \"state\" must be one of "
                                + String.join(
                                        ", ",
                                        STATES.stream().map(Lifecycle::word).toList())));
    }

    /** As last written; a database whose actor wrote nothing yet is shown as it was asked for. */
    private static DatabaseView view(DatabaseRow row) {
        return row.view().orElseGet(() -> fresh(row.spec(), row.state(), row.createdAt()));
    }

    private static DatabaseView fresh(DatabaseSpec spec, String state, Instant createdAt) {
        return DatabaseView.of(spec, state, createdAt);
    }

    private CompletionStage<HttpResponse> get(ApiRequest request) {
        return find(request)
                .thenCompose(found -> databases
                        .describe(found.id())
                        .thenCompose(reply -> reply instanceof DatabaseReply.NotFound
                                        && !found.row().deleting()
                                        && found.row().view().isEmpty()
                                ? CompletableFuture.completedStage(Responses.json(StatusCodes.OK, view(found.row())))
                                : answer(StatusCodes.OK, reply)));
    }

    private CompletionStage<HttpResponse> change(ApiRequest request) {
        return find(request)
                .thenCompose(found -> databases.describe(found.id()).thenCompose(reply -> {
                    if (!(reply instanceof DatabaseReply.Described described)) {
                        return answer(StatusCodes.OK, reply);
                    }
                    DatabaseView view = described.view();
                    Tunables before = new Tunables(
                            IdleTimeout.parse(view.idleTimeout()).orElse(IdleTimeout.DEFAULT),
                            view.autoscale(),
                            view.minProfile(),
                            view.maxProfile(),
                            view.poolMode());
                    return databases
                            .change(
                                    found.id(),
                                    tunables(request.body(), before),
                                    request.body().profile("size"))
                            .thenCompose(changed -> answer(StatusCodes.OK, changed));
                }));
    }

    private CompletionStage<HttpResponse> delete(ApiRequest request) {
        boolean force = request.flag("force");
        return find(request)
                .thenCompose(found -> databases
                        .delete(found.id(), force)
                        .thenCompose(reply -> reply instanceof DatabaseReply.NotFound
                                ? CompletableFuture.completedStage(Responses.json(
                                        StatusCodes.ACCEPTED,
                                        fresh(
                                                found.row().spec(),
                                                Lifecycle.DELETING.word(),
                                                found.row().createdAt())))
                                : answer(StatusCodes.ACCEPTED, reply)));
    }

    private CompletionStage<HttpResponse> start(ApiRequest request) {
        return act(request, "starting a database", databases::start);
    }

    private CompletionStage<HttpResponse> stop(ApiRequest request) {
        return act(request, "stopping a database", databases::stop);
    }

    private CompletionStage<HttpResponse> scale(ApiRequest request) {
        Profile profile = request.body()
                .profile("profile")
                .orElseThrow(() -> ApiError.badField("profile", "field \"profile\" is missing"));
        return act(request, "scaling a database", databaseId -> databases.scale(databaseId, profile));
    }

    private CompletionStage<HttpResponse> act(
            ApiRequest request, String what, Function<String, CompletionStage<DatabaseReply>> action) {
        if (!settings.lifecycleActions()) {
            throw ApiError.operationDisabled(what);
        }
        return find(request)
                .thenCompose(found -> action.apply(found.id()))
                .thenCompose(reply -> answer(StatusCodes.ACCEPTED, reply));
    }

    private CompletionStage<Found> find(ApiRequest request) {
        return TenantRoutes.find(catalog, request)
                .thenCompose(tenant -> catalog.databases()
                        .find(tenant.id(), request.path("database"))
                        .thenApply(row -> new Found(tenant, row.orElseThrow(DatabaseRoutes::notFound))));
    }

    private static ApiError notFound() {
        return ApiError.notFound("there is no such database in this tenant: GET …/dbs lists those there are");
    }

    /** What was accepted is written to the catalog before the answer, so that a list asked for next shows it. */
    private CompletionStage<HttpResponse> answer(StatusCode good, DatabaseReply reply) {
        return switch (reply) {
            case DatabaseReply.Accepted accepted ->
                catalog.databases()
                        .project(accepted.view(), accepted.sequence())
                        .thenApply(done -> Responses.json(good, accepted.view()));
            case DatabaseReply.Described described ->
                CompletableFuture.completedStage(Responses.json(good, described.view()));
            case DatabaseReply.Conflict conflict ->
                CompletableFuture.failedStage(ApiError.conflict(conflict.message()));
            case DatabaseReply.NotFound none -> CompletableFuture.failedStage(notFound());
            case DatabaseReply.Unavailable later ->
                CompletableFuture.failedStage(ApiError.unavailable(later.message()));
        };
    }
}
