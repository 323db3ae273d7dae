package io.spg99.lifecycle.http;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.spg99.gateway.login.PoolMode;
import io.spg99.lifecycle.model.IdleTimeout;
import io.spg99.lifecycle.model.Json;
import io.spg99.lifecycle.model.ObjectName;
import io.spg99.lifecycle.model.Profile;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/** A request's JSON object, read field by field; every complaint names its field. {@code null} counts as absent. */
final class JsonBody {

    /** Stands for the body of a request that has none. */
    static final byte[] NOTHING = {'{', '}'};

    private final ObjectNode object;

    private JsonBody(ObjectNode object) {
        this.object = object;
    }

    /** @throws ApiError if the text is not one JSON object with no other than the {@code known} fields */
    static JsonBody parse(byte[] utf8, List<String> known) {
        JsonNode root = read(utf8);
        if (!(root instanceof ObjectNode object)) {
            throw ApiError.badRequest("the body must be one JSON object, like {\"name\": \"demo\"}");
        }
        object.fieldNames().forEachRemaining(field -> {
            if (!known.contains(field)) {
                throw ApiError.badField(
                        field, "unknown field \"" + shorten(field) + "\": known are " + String.join(", ", known));
            }
        });
        return new JsonBody(object);
    }

    private static JsonNode read(byte[] utf8) {
        try {
            return Json.MAPPER.readTree(utf8);
        } catch (JsonProcessingException e) {
            String where = e.getLocation() == null
                    ? ""
                    : " at line " + e.getLocation().getLineNr() + ", column "
                            + e.getLocation().getColumnNr();
            throw ApiError.badRequest(
                    "the body is not valid JSON" + where + ": send one JSON object, with each field once");
        } catch (java.io.IOException e) {
            throw ApiError.badRequest("the body is not valid UTF-8: send JSON in UTF-8");
        }
    }

    /** What a client sent is repeated to it only in part. */
    private static String shorten(String text) {
        return text.length() <= 40 ? text : text.substring(0, 40) + "…";
    }

    private Optional<JsonNode> node(String field) {
        return Optional.ofNullable(object.get(field)).filter(node -> !node.isNull());
    }

    private Optional<String> text(String field) {
        return node(field).map(node -> {
            if (!node.isTextual()) {
                throw ApiError.badField(field, "field \"" + field + "\" must be a string");
            }
            return node.textValue();
        });
    }

    boolean has(String field) {
        return node(field).isPresent();
    }

    String name(String field) {
        String name = text(field).orElseThrow(() -> ApiError.badField(field, "field \"" + field + "\" is missing"));
        if (!ObjectName.isValid(name)) {
            throw ApiError.badField(field, "field \"" + field + "\" breaks the rule: " + ObjectName.RULE);
        }
        return name;
    }

    Optional<Boolean> bool(String field) {
        return node(field).map(node -> {
            if (!node.isBoolean()) {
                throw ApiError.badField(field, "field \"" + field + "\" must be true or false");
            }
            return node.booleanValue();
        });
    }

    Optional<Profile> profile(String field) {
        return text(field).map(parsed(field, Profile::parse, "must be one of " + Arrays.toString(Profile.values())));
    }

    Optional<PoolMode> poolMode(String field) {
        return text(field).map(parsed(field, PoolMode::parse, "must be \"transaction\" or \"session\""));
    }

    /** A string, or a number of seconds. */
    Optional<Duration> idleTimeout(String field) {
        return node(field)
                .map(JsonNode::asText)
                .map(parsed(field, IdleTimeout::parse, "breaks the rule: " + IdleTimeout.RULE));
    }

    /** 0 or 1. */
    Optional<Boolean> scale(String field) {
        return node(field).map(node -> {
            if (!node.isInt() || node.intValue() < 0 || node.intValue() > 1) {
                throw ApiError.badField(field, "field \"" + field + "\" must be 0 (no writer) or 1 (a writer)");
            }
            return node.intValue() == 1;
        });
    }

    private static <T> Function<String, T> parsed(
            String field, Function<String, Optional<T>> parser, String complaint) {
        return text ->
                parser.apply(text).orElseThrow(() -> ApiError.badField(field, "field \"" + field + "\" " + complaint));
    }
}
