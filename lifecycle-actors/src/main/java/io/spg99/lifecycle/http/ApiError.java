package io.spg99.lifecycle.http;

import java.util.Map;
import java.util.Set;
import org.apache.pekko.http.javadsl.model.StatusCode;
import org.apache.pekko.http.javadsl.model.StatusCodes;

/** An answer other than success, as the public contract words it. The message says what to do and goes to the user. */
final class ApiError extends RuntimeException {

    /** Seconds after which a client may try again. */
    static final int RETRY_AFTER = 2;

    /** Of body, path and headers. */
    private static final Set<Integer> TOO_LARGE = Set.of(
            StatusCodes.CONTENT_TOO_LARGE.intValue(),
            StatusCodes.URI_TOO_LONG.intValue(),
            StatusCodes.REQUEST_HEADER_FIELDS_TOO_LARGE.intValue());

    private final transient StatusCode status;
    private final String error;
    private final transient Map<String, ?> details;

    private ApiError(StatusCode status, String error, String message, Map<String, ?> details) {
        super(message);
        this.status = status;
        this.error = error;
        this.details = Map.copyOf(details);
    }

    static ApiError badRequest(String message) {
        return new ApiError(StatusCodes.BAD_REQUEST, "BadRequest", message, Map.of());
    }

    /** @param field the part of the request that is wrong */
    static ApiError badField(String field, String message) {
        return new ApiError(StatusCodes.BAD_REQUEST, "BadRequest", message, Map.of("field", field));
    }

    static ApiError unauthorized() {
        return new ApiError(
                StatusCodes.UNAUTHORIZED,
                "Unauthorized",
                "send a valid API key: Authorization: Bearer <api key>",
                Map.of());
    }

    static ApiError notFound(String message) {
        return new ApiError(StatusCodes.NOT_FOUND, "NotFound", message, Map.of());
    }

    static ApiError methodNotAllowed(String allowed) {
        return new ApiError(
                StatusCodes.METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "this path does not know that method: use " + allowed,
                Map.of("allowed", allowed));
    }

    static ApiError conflict(String message) {
        return new ApiError(StatusCodes.CONFLICT, "Conflict", message, Map.of());
    }

    static ApiError operationDisabled(String what) {
        return new ApiError(
                StatusCodes.CONFLICT,
                "OperationDisabled",
                what
                        + " is disabled on this platform (lifecycle-actions = disabled): databases wake when they are used and"
                        + " stop when they are idle",
                Map.of());
    }

    static ApiError tooLarge(long limitBytes) {
        return new ApiError(
                StatusCodes.CONTENT_TOO_LARGE,
                "TooLarge",
                "the body is too large: send at most " + limitBytes + " bytes",
                Map.of("limit_bytes", limitBytes));
    }

    /**
     * What was sent is not HTTP as this server takes it.
     *
     * @param status as HTTP has it: for a line or header that is too long, for instance
     */
    static ApiError unreadable(StatusCode status, String reason) {
        boolean tooLarge = TOO_LARGE.contains(status.intValue());
        return new ApiError(
                tooLarge ? status : StatusCodes.BAD_REQUEST,
                tooLarge ? "TooLarge" : "BadRequest",
                "the request cannot be read, correct it: " + reason,
                Map.of());
    }

    static ApiError unavailable(String message) {
        return new ApiError(StatusCodes.SERVICE_UNAVAILABLE, "Unavailable", message, Map.of());
    }

    static ApiError internal(String reference) {
        return new ApiError(
                StatusCodes.INTERNAL_SERVER_ERROR,
                "Internal",
                "something went wrong here; tell the operator this reference: " + reference,
                Map.of("reference", reference));
    }

    StatusCode status() {
        return status;
    }

    String error() {
        return error;
    }

    Map<String, ?> details() {
        return details;
    }
}
