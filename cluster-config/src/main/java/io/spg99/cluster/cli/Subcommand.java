package io.spg99.cluster.cli;

/** A command of {@code ./spg99} that another jar brings (found as a service): benchmarks, verification. */
public interface Subcommand extends Runnable {}
