package io.spg99.lifecycle.http;

import java.util.Map;
import java.util.Optional;

/**
 * A request that has passed all general checks.
 *
 * @param lastEventId header {@code Last-Event-ID}
 */
record ApiRequest(Map<String, String> path, Map<String, String> query, Optional<String> lastEventId, JsonBody body) {

    static final int DEFAULT_LIMIT = 20;
    static final int MAX_LIMIT = 500;

    String path(String name) {
        String value = path.get(name);
        if (value == null) {
            throw new IllegalStateException("route has no such part: name=" + name);
        }
        return value;
    }

    Optional<String> query(String name) {
        return Optional.ofNullable(query.get(name));
    }

    int limit() {
        return (int) number("limit", DEFAULT_LIMIT, 1, MAX_LIMIT);
    }

    long offset() {
        return number("offset", 0, 0, Integer.MAX_VALUE);
    }

    boolean flag(String name) {
        return switch (query(name).orElse("false")) {
            case "true" -> true;
            case "false" -> false;
            default -> throw ApiError.badField(name, "query parameter \"" + name + "\" must be true or false");
        };
    }

    private long number(String name, long absent, long min, long max) {
        Optional<String> text = query(name);
        if (text.isEmpty()) {
            return absent;
        }
        try {
            long number = Long.parseLong(text.get());
            if (number >= min && number <= max) {
                return number;
            }
        } catch (NumberFormatException e) {
            // answered below
        }
        throw ApiError.badField(name, "query parameter \"" + name + "\" must be a number from " + min + " to " + max);
    }
}
