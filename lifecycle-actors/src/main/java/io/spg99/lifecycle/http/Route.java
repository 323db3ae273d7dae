package io.spg99.lifecycle.http;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
import org.apache.pekko.http.javadsl.model.HttpMethod;
import org.apache.pekko.http.javadsl.model.HttpResponse;

/**
 * One row of the API.
 *
 * @param pattern path; a part in braces matches any one part
 * @param access  whether an API key is needed
 * @param query   parameters that may be given
 * @param body    fields that may be in the body; empty if the body is not read
 */
record Route(
        HttpMethod method,
        String pattern,
        Access access,
        List<String> query,
        Optional<List<String>> body,
        Handler handler) {

    enum Access {
        OPEN,
        KEY
    }

    @FunctionalInterface
    interface Handler {
        CompletionStage<HttpResponse> handle(ApiRequest request);
    }

    static Route of(HttpMethod method, String pattern, Handler handler) {
        return new Route(method, pattern, Access.KEY, List.of(), Optional.empty(), handler);
    }

    Route open() {
        return new Route(method, pattern, Access.OPEN, query, body, handler);
    }

    Route query(String... parameters) {
        return new Route(method, pattern, access, List.of(parameters), body, handler);
    }

    Route body(List<String> fields) {
        return new Route(method, pattern, access, query, Optional.of(fields), handler);
    }

    /** The named parts of {@code path}, if it matches. */
    Optional<Map<String, String>> match(String path) {
        String[] wanted = pattern.split("/", -1);
        String[] parts = path.split("/", -1);
        if (wanted.length != parts.length) {
            return Optional.empty();
        }
        Map<String, String> named = new HashMap<>();
        for (int i = 0; i < wanted.length; i++) {
            if (wanted[i].startsWith("{") && !parts[i].isEmpty()) {
                named.put(wanted[i].substring(1, wanted[i].length() - 1), parts[i]);
            } else if (!wanted[i].equals(parts[i])) {
                return Optional.empty();
            }
        }
        return Optional.of(Map.copyOf(named));
    }
}
