package io.spg99.nodes.safekeeper.serve;

import java.util.Map;

/** What a client says; only the part of PostgreSQL's protocol 3.0 that replication needs. */
sealed interface FrontendMessage {

    record Startup(Map<String, String> parameters) implements FrontendMessage {}

    record Query(String text) implements FrontendMessage {}

    /** Feedback of a standby; {@code replyRequested} asks for a keepalive. */
    record Feedback(boolean replyRequested) implements FrontendMessage {}

    enum CopyDone implements FrontendMessage {
        INSTANCE
    }

    enum Terminate implements FrontendMessage {
        INSTANCE
    }

    /** A message of a type that has no business here. */
    record Unsupported(char type) implements FrontendMessage {}
}
