package io.spg99.gateway.wire;

/** What the text of a request means for the transaction around it, as far as its first words tell. */
public enum Statement {
    BEGIN,
    /** Commits, or may: COMMIT, END, PREPARE TRANSACTION, or several statements that leave a transaction. */
    COMMIT,
    ROLLBACK,
    OTHER
}
