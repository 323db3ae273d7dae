package io.spg99.gateway.session;

import java.util.Locale;

/** Why a session keeps its server connection beyond a transaction. */
public enum PinReason {
    /** It listens. A writer that moves does not end it: the channels are listened to again. */
    LISTEN,
    /** Temporary tables, views, functions and the like. */
    TEMPORARY_OBJECT,
    ADVISORY_LOCK,
    /** An open cursor WITH HOLD. */
    HOLD_CURSOR,
    /** LOAD: until the session ends. */
    LOAD,
    /** It reads what it took from a sequence (currval, lastval): until the session ends. */
    SEQUENCE,
    /** State that nobody can be asked for (setseed, connections of dblink): until the session ends. */
    HIDDEN,
    /** Prepared statements that cannot be prepared elsewhere: too large, too many, or of several statements in one text. */
    STATEMENT,
    /** PostgreSQL could not be asked what the session holds. Asked again after the next transaction. */
    NOT_UNDERSTOOD;

    /** As it is shown, and in metrics. */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
