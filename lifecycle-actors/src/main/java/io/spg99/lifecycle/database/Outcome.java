package io.spg99.lifecycle.database;

import io.spg99.storage.quorum.QuorumReply;
import java.util.concurrent.CompletionException;
import org.jspecify.annotations.Nullable;

/** What became of a question: its answer, or why there is none. */
sealed interface Outcome<T> {

    record Ok<T>(T value) implements Outcome<T> {}

    record Failed<T>(String reason) implements Outcome<T> {}

    /** Of an outcome that is not the hoped-for one. */
    static String why(Outcome<?> outcome) {
        return switch (outcome) {
            case Outcome.Ok<?> ok ->
                ok.value() instanceof QuorumReply.Unavailable unavailable
                        ? unavailable.reason()
                        : "unexpected answer: " + ok.value();
            case Outcome.Failed<?> failed -> failed.reason();
        };
    }

    /** From the two arguments of a completion, one of which is null. */
    static <T> Outcome<T> of(@Nullable T value, @Nullable Throwable failure) {
        if (value != null) {
            return new Ok<>(value);
        }
        Throwable cause =
                failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
        String message = cause == null ? null : cause.getMessage();
        return new Failed<>(message == null ? "no answer: " + cause : message);
    }
}
