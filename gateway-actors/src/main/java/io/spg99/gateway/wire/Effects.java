package io.spg99.gateway.wire;

/**
 * What a statement may leave behind in its session, as far as its words tell: bits of an int. It is a suspicion, not a
 * finding: PostgreSQL is asked at the end of the transaction.
 */
public final class Effects {

    /** SET, RESET, DISCARD. */
    public static final int SETTINGS = 1;
    /** Temporary objects. */
    public static final int TEMPORARY = 1 << 1;

    public static final int LISTEN = 1 << 2;
    /** Advisory locks of the session, not those of a transaction. */
    public static final int ADVISORY = 1 << 3;
    /** DECLARE ... WITH HOLD. */
    public static final int HOLD = 1 << 4;
    /** PREPARE, DEALLOCATE. */
    public static final int PREPARE = 1 << 5;
    /** LOAD: a library cannot be unloaded. */
    public static final int LOAD = 1 << 6;
    /** DO, CALL, and text that cannot be read with certainty. */
    public static final int OPAQUE = 1 << 7;
    /** May end what pins: DROP, UNLISTEN, CLOSE, an unlock. */
    public static final int UNDO = 1 << 8;
    /** Reads what the session last took from a sequence. */
    public static final int SEQUENCE = 1 << 9;
    /** State that cannot be asked for: setseed, connections of dblink. */
    public static final int HIDDEN = 1 << 10;

    /** set_config, which may be meant for the transaction only. */
    public static final int SET_CONFIG = 1 << 11;

    /** After any of these the session's settings are not known. */
    public static final int ANY_SETTING = SETTINGS | SET_CONFIG | OPAQUE;

    /** After these PostgreSQL is asked what the session holds. */
    public static final int ASK = ANY_SETTING | TEMPORARY | LISTEN | ADVISORY | HOLD | PREPARE;

    private Effects() {}
}
