package io.spg99.gateway.lease;

/** The right of this Gateway's sessions to connect to one generation of a database. */
public record Lease(int generation, WriterLocation writer) {}
