package io.spg99.lifecycle.http;

import io.spg99.lifecycle.catalog.Account;
import io.spg99.lifecycle.catalog.Catalog;
import io.spg99.lifecycle.catalog.Credentials;
import io.spg99.lifecycle.catalog.Page;
import io.spg99.lifecycle.catalog.Tenant;
import io.spg99.lifecycle.database.Databases;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
import org.apache.pekko.http.javadsl.model.HttpMethods;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.http.javadsl.model.StatusCodes;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The account, its tenants and their credentials. */
final class TenantRoutes {

    private static final Logger LOG = LoggerFactory.getLogger(TenantRoutes.class);

    private final Catalog catalog;
    private final Databases databases;
    private final ApiServices services;

    TenantRoutes(ApiServices services) {
        this.services = services;
        this.catalog = services.catalog();
        this.databases = services.databases();
    }

    List<Route> routes() {
        return List.of(
                Route.of(HttpMethods.GET, "/v2/account", this::account),
                Route.of(HttpMethods.POST, "/v2/tenants", this::create).body(List.of("name")),
                Route.of(HttpMethods.GET, "/v2/tenants", this::list).query("limit", "offset"),
                Route.of(HttpMethods.GET, "/v2/tenants/{tenant}", this::get),
                Route.of(HttpMethods.DELETE, "/v2/tenants/{tenant}", this::delete)
                        .query("cascade"),
                Route.of(HttpMethods.GET, "/v2/tenants/{tenant}/credentials", this::credentials),
                Route.of(HttpMethods.POST, "/v2/tenants/{tenant}/credentials/rotate", this::rotate));
    }

    private CompletionStage<HttpResponse> account(ApiRequest request) {
        return catalog.account().thenApply(account -> Responses.json(StatusCodes.OK, json(account)));
    }

    private CompletionStage<HttpResponse> create(ApiRequest request) {
        return catalog.tenants().create(request.body().name("name")).thenApply(made -> {
            Map<String, Object> json = json(made.tenant());
            json.putAll(json(made.credentials()));
            return Responses.json(StatusCodes.CREATED, json);
        });
    }

    private CompletionStage<HttpResponse> list(ApiRequest request) {
        int limit = request.limit();
        long offset = request.offset();
        return catalog.tenants()
                .list(limit, offset)
                .thenApply(page -> Responses.json(
                        StatusCodes.OK,
                        page(
                                new Page<>(
                                        page.items().stream()
                                                .map(TenantRoutes::json)
                                                .toList(),
                                        page.total()),
                                limit,
                                offset)));
    }

    /** A list's form. */
    static Map<String, Object> page(Page<?> page, int limit, long offset) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("items", page.items());
        json.put("total", page.total());
        json.put("limit", limit);
        json.put("offset", offset);
        return json;
    }

    private CompletionStage<HttpResponse> get(ApiRequest request) {
        return find(catalog, request).thenApply(tenant -> Responses.json(StatusCodes.OK, json(tenant)));
    }

    /** The tenant that the path names; fails with 404. */
    static CompletionStage<Tenant> find(Catalog catalog, ApiRequest request) {
        return catalog.tenants().find(request.path("tenant")).thenApply(TenantRoutes::orNotFound);
    }

    private static <T> T orNotFound(Optional<T> tenant) {
        return tenant.orElseThrow(
                () -> ApiError.notFound("there is no such tenant: GET /v2/tenants lists those there are"));
    }

    private CompletionStage<HttpResponse> credentials(ApiRequest request) {
        return find(catalog, request)
                .thenCompose(tenant -> catalog.tenants().credentials(tenant.id()))
                .thenApply(found -> Responses.json(StatusCodes.OK, json(orNotFound(found))));
    }

    private CompletionStage<HttpResponse> rotate(ApiRequest request) {
        return find(catalog, request)
                .thenCompose(tenant -> catalog.tenants().rotate(tenant.id()))
                .thenApply(found -> Responses.json(StatusCodes.OK, json(orNotFound(found))));
    }

    private CompletionStage<HttpResponse> delete(ApiRequest request) {
        boolean cascade = request.flag("cascade");
        return find(catalog, request)
                .thenCompose(tenant -> catalog.tenants()
                        .delete(tenant.id(), cascade)
                        .thenApply(ids -> {
                            ids.forEach(this::deleteDatabase);
                            Map<String, Object> json = json(tenant);
                            json.put("state", "deleting");
                            return Responses.json(StatusCodes.ACCEPTED, json);
                        }));
    }

    /** Not waited for; what fails here is done by the Reconciler at the next start. */
    private void deleteDatabase(String databaseId) {
        databases.delete(databaseId, true).whenComplete((reply, failure) -> {
            if (failure != null) {
                LOG.warn("deletion not started: database={} reason={}", databaseId, failure.getMessage());
            }
        });
    }

    private static Map<String, Object> json(Account account) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("id", account.id());
        json.put("plan", account.plan());
        json.put("email", account.email());
        json.put("name", account.name());
        json.put("company", account.company());
        json.put("created_at", account.createdAt());
        return json;
    }

    private static Map<String, Object> json(Tenant tenant) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("id", tenant.id());
        json.put("name", tenant.name());
        json.put("pg_user", tenant.pgUser());
        json.put("state", tenant.deleting() ? "deleting" : "active");
        json.put("created_at", tenant.createdAt());
        return json;
    }

    /** All characters of user and password may stand in a URI as they are. */
    private Map<String, Object> json(Credentials credentials) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("pg_user", credentials.pgUser());
        json.put("pg_password", credentials.password());
        json.put(
                "dsn_template",
                "postgres://" + credentials.pgUser() + ":" + credentials.password() + "@"
                        + services.gatewayAddress().get() + "/{database}?sslmode=require");
        return json;
    }
}
