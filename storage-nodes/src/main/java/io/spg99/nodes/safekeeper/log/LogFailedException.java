package io.spg99.nodes.safekeeper.log;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** The timeline's disk failed, or what is on it is damaged (W7). Nothing is acknowledged until it is opened anew. */
public final class LogFailedException extends IOException {

    LogFailedException(String reason, @Nullable Throwable cause) {
        super(reason, cause);
    }
}
