package io.spg99.storage.replication;

import java.io.IOException;
import java.sql.SQLException;
import org.jspecify.annotations.Nullable;

/** The server, or the way to it, failed. Another server may do; the same one may do later. */
public final class ReplicationException extends IOException {

    /** SQLSTATE of "requested WAL segment has already been removed" (undefined_file). */
    private static final String UNDEFINED_FILE = "58P01";

    /** SQLSTATE of "replication slot is active" (object_in_use). */
    private static final String OBJECT_IN_USE = "55006";

    private final @Nullable String sqlState;

    public ReplicationException(String message) {
        super(message);
        this.sqlState = null;
    }

    /** What a server has said. */
    public ReplicationException(String message, String sqlState) {
        super(message);
        this.sqlState = sqlState;
    }

    ReplicationException(String message, SQLException cause) {
        super(message + ": " + cause.getMessage(), cause);
        this.sqlState = cause.getSQLState();
    }

    ReplicationException(String message, IOException cause) {
        super(message + ": " + cause.getMessage(), cause);
        this.sqlState = null;
    }

    /** What the server gave as reason; internal_error if it gave none. */
    public String sqlState() {
        return sqlState == null ? "XX000" : sqlState;
    }

    /** True if the server says that it no longer has the WAL that was asked for. */
    public boolean walRemoved() {
        return UNDEFINED_FILE.equals(sqlState);
    }

    /** True if another connection uses the replication slot. */
    public boolean slotInUse() {
        return OBJECT_IN_USE.equals(sqlState);
    }
}
