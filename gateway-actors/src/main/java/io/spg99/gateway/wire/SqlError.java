package io.spg99.gateway.wire;

/**
 * An error as a SQL client is told it.
 *
 * @param sqlState five characters
 * @param hint     empty for none
 * @param routine  PostgreSQL's function that would have raised it, which some drivers look at; empty for none
 */
public record SqlError(String sqlState, String message, String hint, String routine) {

    public SqlError(String sqlState, String message, String hint) {
        this(sqlState, message, hint, "");
    }

    public SqlError(String sqlState, String message) {
        this(sqlState, message, "");
    }

    public static SqlError protocolViolation(String message) {
        return new SqlError("08P01", message);
    }
}
