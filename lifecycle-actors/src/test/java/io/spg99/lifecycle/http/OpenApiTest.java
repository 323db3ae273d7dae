package io.spg99.lifecycle.http;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.lifecycle.model.Json;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/** openapi.json says what the routes say: the same paths, methods, parameters, body fields and open doors. */
class OpenApiTest {

    private static final JsonNode DOCUMENT = read();

    private static JsonNode read() {
        try {
            return Json.MAPPER.readTree(SystemRoutes.openApi());
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static JsonNode resolve(JsonNode node) {
        JsonNode target =
                node.has("$ref") ? DOCUMENT.at(node.get("$ref").asText().substring(1)) : node;
        assertFalse(target.isMissingNode(), () -> "reference to nothing: " + node);
        return target;
    }

    private static Set<String> names(JsonNode operation, String in) {
        Set<String> names = new TreeSet<>();
        for (JsonNode parameter : operation.path("parameters")) {
            if (resolve(parameter).path("in").asText().equals(in)) {
                names.add(resolve(parameter).path("name").asText());
            }
        }
        return names;
    }

    @Test
    void describeSaysWhatAStartDoesToUnloggedTables() {
        String description = DOCUMENT.at("/paths/~1v2~1tenants~1{tenant}~1dbs~1{database}/get/description")
                .asText();
        assertTrue(description.contains("empties unlogged tables"), description);
    }

    @Test
    void everyRouteIsDescribedAndNothingElse() {
        Map<String, String> served = new TreeMap<>();
        Map<String, String> described = new TreeMap<>();
        ApiServices services = TestServices.with("spg99_key", TreeMap::new);
        services.catalog().close();
        for (Route route : HttpApi.routes(
                services, new ApiSettings("127.0.0.1", 0, true, Duration.ofMinutes(5), Duration.ofSeconds(10)))) {
            Set<String> body = new TreeSet<>(route.body().orElse(List.of()));
            served.put(
                    route.method().value() + " " + route.pattern(),
                    "open=" + (route.access() == Route.Access.OPEN) + " query=" + new TreeSet<>(route.query())
                            + " body=" + body);
        }
        DOCUMENT.get("paths")
                .properties()
                .forEach(path -> path.getValue()
                        .properties()
                        .forEach(operation -> described.put(
                                operation.getKey().toUpperCase(Locale.ROOT) + " " + path.getKey(),
                                describe(operation.getValue()))));
        assertEquals(served, described);
    }

    private static String describe(JsonNode operation) {
        Set<String> body = new TreeSet<>();
        JsonNode schema = operation.at("/requestBody/content/application~1json/schema");
        if (!schema.isMissingNode()) {
            resolve(schema).path("properties").fieldNames().forEachRemaining(body::add);
        }
        boolean open = operation.has("security") && operation.get("security").isEmpty();
        return "open=" + open + " query=" + names(operation, "query") + " body=" + body;
    }

    @Test
    void everyReferenceLeadsSomewhereAndEveryPathParameterIsDeclared() {
        DOCUMENT.findValues("$ref")
                .forEach(reference -> assertFalse(
                        DOCUMENT.at(reference.asText().substring(1)).isMissingNode(),
                        () -> "reference to nothing: " + reference));
        DOCUMENT.get("paths")
                .properties()
                .forEach(path -> path.getValue().forEach(operation -> {
                    Set<String> inPath = new TreeSet<>();
                    for (String part : path.getKey().split("/", -1)) {
                        if (part.startsWith("{")) {
                            inPath.add(part.substring(1, part.length() - 1));
                        }
                    }
                    assertEquals(inPath, names(operation, "path"), path.getKey());
                }));
    }
}
