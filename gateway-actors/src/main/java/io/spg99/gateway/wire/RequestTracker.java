package io.spg99.gateway.wire;

import java.util.HashMap;
import java.util.Map;

/**
 * What is under way between one client and its backend: is a request in flight, may it contain a commit, which
 * transaction status holds. Where it cannot know, it assumes a commit: a client is then told to check, which is never
 * wrong.
 *
 * <pre>
 * client -> Q | F        one ReadyForQuery will follow
 * client -> P B D E C H  part of a batch; Sync ends it
 * client -> S            one ReadyForQuery will follow (none if the backend is in COPY ... FROM STDIN: it ignores it)
 * backend -> Z           one request less
 * </pre>
 */
public final class RequestTracker {

    /** Named statements remembered as BEGIN, COMMIT or ROLLBACK. Drivers prepare each once; more is not normal. */
    private static final int MAX_NAMED = 256;

    /** ReadyForQuery messages still to come. */
    private int pendingReady;
    /** Messages sent since the last Sync. */
    private boolean unsynced;
    /** Something in flight may commit. */
    private boolean mayCommit;
    /** The backend will be outside a transaction block when it gets to what the client sends next, as far as known. */
    private boolean idleNext = true;
    /** The backend waits for CopyData. */
    private boolean copyIn;
    /** The last request that can start a COPY was an Execute, not a Query. */
    private boolean lastStartExtended;

    private boolean terminated;
    /** Names are too many to follow: any Bind may be a COMMIT. */
    private boolean namesLost;

    private final Map<String, Statement> named = new HashMap<>();
    private Statement unnamed = Statement.OTHER;

    /** Anything the client sent that is not answered in full. */
    public boolean inFlight() {
        return pendingReady > 0 || unsynced;
    }

    /** A commit may be among what is in flight. */
    public boolean mayCommit() {
        return mayCommit && inFlight();
    }

    /** The backend works on a request by itself, needing nothing more from the client. */
    public boolean backendBusy() {
        return pendingReady > 0 && !copyIn;
    }

    /** The backend waits for CopyData of the client. */
    public boolean copyIn() {
        return copyIn;
    }

    /** The COPY under way was begun by an Execute. */
    public boolean extendedCopy() {
        return copyIn && lastStartExtended;
    }

    /** The client has sent Terminate. */
    public boolean terminated() {
        return terminated;
    }

    public void query(Statement statement) {
        pendingReady++;
        // What was sent before without a Sync is part of the query's transaction, and ends with it.
        unsynced = false;
        lastStartExtended = false;
        apply(statement);
    }

    public void functionCall() {
        pendingReady++;
        apply(Statement.OTHER);
    }

    public void parse(String name, Statement statement) {
        unsynced = true;
        if (name.isEmpty()) {
            unnamed = statement;
        } else if (statement == Statement.OTHER) {
            named.remove(name);
        } else if (named.size() < MAX_NAMED) {
            named.put(name, statement);
        } else {
            namesLost = true;
        }
    }

    public void bind(String name) {
        unsynced = true;
        Statement statement = name.isEmpty() ? unnamed : named.getOrDefault(name, Statement.OTHER);
        // An ordinary statement does nothing before its Execute; these four words are taken as done with the Bind.
        if (statement != Statement.OTHER) {
            apply(statement);
        } else if (namesLost) {
            apply(Statement.COMMIT);
        }
    }

    public void execute() {
        unsynced = true;
        lastStartExtended = true;
        mayCommit |= idleNext;
    }

    /** Describe, Close, Flush. */
    public void other() {
        unsynced = true;
    }

    public void sync() {
        unsynced = false;
        pendingReady++;
    }

    public void copyEnded() {
        if (copyIn && lastStartExtended) {
            // Every Sync sent since the COPY began was ignored by the backend.
            pendingReady = 0;
            unsynced = true;
        }
        copyIn = false;
    }

    public void terminate() {
        terminated = true;
    }

    void copyInStarted() {
        copyIn = true;
    }

    void backendError() {
        if (extendedCopy()) {
            // As when it ends in order: the Syncs sent so far were ignored, only one still to come is answered.
            pendingReady = 0;
            unsynced = true;
        }
        copyIn = false;
    }

    public void ready(byte status) {
        copyIn = false;
        pendingReady = Math.max(0, pendingReady - 1);
        boolean idle = status == Protocol.STATUS_IDLE;
        if (inFlight()) {
            // Further requests of a pipeline may run outside a transaction that failed to begin.
            mayCommit |= idle;
        } else {
            mayCommit = false;
            idleNext = idle;
        }
    }

    private void apply(Statement statement) {
        switch (statement) {
            case BEGIN -> idleNext = false;
            case COMMIT -> {
                mayCommit = true;
                idleNext = true;
            }
            case ROLLBACK -> idleNext = true;
            case OTHER -> mayCommit |= idleNext;
        }
    }
}
