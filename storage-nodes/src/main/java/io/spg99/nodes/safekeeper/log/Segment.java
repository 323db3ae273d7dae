package io.spg99.nodes.safekeeper.log;

/** A WAL segment file: segment number {@code number} as written by {@code generation}. */
public record Segment(int generation, long number) {}
