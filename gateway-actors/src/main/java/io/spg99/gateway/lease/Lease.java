package io.spg99.gateway.lease;

/**
 * The right of this Gateway's sessions to connect to one generation of a database.
 *
 * @param serverConnections this Gateway's share of the database's limit
 */
public record Lease(int generation, WriterLocation writer, int serverConnections) {}
