package io.spg99.lifecycle.http;

import com.fasterxml.jackson.core.JsonProcessingException;
import io.spg99.lifecycle.model.Json;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.pekko.http.javadsl.model.ContentTypes;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.http.javadsl.model.StatusCode;
import org.apache.pekko.http.javadsl.model.StatusCodes;
import org.apache.pekko.http.javadsl.model.headers.RawHeader;
import org.apache.pekko.util.ByteString;

/** Answers in JSON. */
final class Responses {

    private Responses() {}

    static HttpResponse json(StatusCode status, Object value) {
        return HttpResponse.create()
                .withStatus(status)
                .addHeader(RawHeader.create("Cache-Control", "no-store"))
                .withEntity(ContentTypes.APPLICATION_JSON, ByteString.fromArray(bytes(value)));
    }

    static HttpResponse error(ApiError error) {
        Map<String, Object> body = new LinkedHashMap<>();
        body.put("error", error.error());
        body.put("message", String.valueOf(error.getMessage()));
        body.put("details", error.details());
        HttpResponse response = json(error.status(), body);
        if (error.status().equals(StatusCodes.SERVICE_UNAVAILABLE)) {
            return response.addHeader(RawHeader.create("Retry-After", String.valueOf(ApiError.RETRY_AFTER)));
        }
        if (error.status().equals(StatusCodes.UNAUTHORIZED)) {
            return response.addHeader(RawHeader.create("WWW-Authenticate", "Bearer realm=\"spg99\""));
        }
        Object allowed = error.details().get("allowed");
        return allowed == null ? response : response.addHeader(RawHeader.create("Allow", allowed.toString()));
    }

    private static byte[] bytes(Object value) {
        try {
            return Json.MAPPER.writeValueAsBytes(value);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(
                    "answer not written as JSON: type=" + value.getClass().getSimpleName(), e);
        }
    }
}
