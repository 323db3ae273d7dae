package io.spg99.gateway.wire;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Which answers a backend still owes, in their order: so that answers to what the Gateway put in between are kept from the
 * client, and what came of it is known.
 */
public final class ResponseQueue {

    /** A message that is answered. */
    public enum Kind {
        PARSE,
        BIND,
        CLOSE,
        DESCRIBE_STATEMENT,
        DESCRIBE_PORTAL,
        EXECUTE,
        SYNC,
        QUERY,
        FUNCTION
    }

    /** One answer; subclasses look at it. */
    public static class Expected {
        final Kind kind;
        /** The Gateway's own: not for the client. */
        final boolean own;

        public Expected(Kind kind, boolean own) {
            this.kind = kind;
            this.own = own;
        }

        /** The answer was there. */
        protected void answered() {}

        /** It failed, or was skipped because of a failure before it. Called from the last sent to the first. */
        protected void undone() {}

        /** Whether {@link #described} is wanted. */
        protected boolean looksAtDescription() {
            return false;
        }

        /** Fingerprint of the columns that a Describe is answered with; before {@link #answered}. */
        protected void described(long fingerprint) {}

        /** An error in place of the backend's, if the backend's means something else to the client. */
        protected @Nullable SqlError replacement() {
            return null;
        }
    }

    private static final Map<Kind, Expected> PLAIN = new EnumMap<>(Kind.class);

    static {
        for (Kind kind : Kind.values()) {
            PLAIN.put(kind, new Expected(kind, false));
        }
    }

    private final ArrayDeque<Expected> queue = new ArrayDeque<>();
    /** After an error the backend skips everything up to the next Sync. */
    private boolean skipping;

    /** What the client sent itself and nobody looks at. */
    public void add(Kind kind) {
        add(Objects.requireNonNull(PLAIN.get(kind)));
    }

    public void add(Expected expected) {
        if (skipping) {
            if (expected.kind != Kind.SYNC) {
                expected.undone();
                return;
            }
            skipping = false;
        }
        queue.add(expected);
    }

    public boolean isEmpty() {
        return queue.isEmpty();
    }

    /** An error was there, and no Sync since. */
    public boolean skipping() {
        return skipping;
    }

    /** The backend waits for CopyData of an Execute: it ignores every Sync sent until then. */
    public void copyIgnoresSyncs() {
        queue.removeIf(expected -> expected.kind == Kind.SYNC);
    }

    boolean expectsDescription() {
        Expected head = queue.peek();
        return head != null && head.looksAtDescription();
    }

    void described(long fingerprint) {
        Expected head = queue.peek();
        if (head != null) {
            head.described(fingerprint);
        }
    }

    /**
     * A message of the backend begins.
     *
     * @return whether it is kept from the client
     */
    boolean onMessage(byte type) {
        Expected head = queue.peek();
        if (head == null) {
            return false;
        }
        return switch (type) {
            case Protocol.PARSE_COMPLETE -> head.kind == Kind.PARSE && take(head);
            case Protocol.BIND_COMPLETE -> head.kind == Kind.BIND && take(head);
            case Protocol.CLOSE_COMPLETE -> head.kind == Kind.CLOSE && take(head);
            case Protocol.PARAMETER_DESCRIPTION -> head.kind == Kind.DESCRIBE_STATEMENT && head.own;
            case Protocol.ROW_DESCRIPTION, Protocol.NO_DATA ->
                (head.kind == Kind.DESCRIBE_STATEMENT || head.kind == Kind.DESCRIBE_PORTAL) && take(head);
            case Protocol.COMMAND_COMPLETE, Protocol.EMPTY_QUERY, Protocol.PORTAL_SUSPENDED ->
                head.kind == Kind.EXECUTE && take(head);
            case Protocol.READY_FOR_QUERY -> {
                // Whatever should have been answered before was not; the backend's word counts.
                while (head != null
                        && head.kind != Kind.SYNC
                        && head.kind != Kind.QUERY
                        && head.kind != Kind.FUNCTION) {
                    queue.poll();
                    head.undone();
                    head = queue.peek();
                }
                yield head != null && take(head);
            }
            default -> false;
        };
    }

    private boolean take(Expected head) {
        queue.poll();
        head.answered();
        return head.own;
    }

    /** @return an error to tell in place of this one */
    @Nullable
    SqlError onError() {
        Expected head = queue.peek();
        if (head == null || head.kind == Kind.QUERY || head.kind == Kind.FUNCTION) {
            return null;
        }
        SqlError replacement = head.replacement();
        List<Expected> failed = new ArrayList<>();
        while (head != null && head.kind != Kind.SYNC) {
            failed.add(queue.remove());
            head = queue.peek();
        }
        skipping = head == null;
        for (int i = failed.size() - 1; i >= 0; i--) {
            failed.get(i).undone();
        }
        return replacement;
    }
}
