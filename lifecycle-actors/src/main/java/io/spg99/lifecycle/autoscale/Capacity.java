package io.spg99.lifecycle.autoscale;

/**
 * What a profile offers.
 *
 * @param cpus     processors
 * @param memoryMb memory for the processes, in MB: what {@code shared_buffers} leaves of it
 */
public record Capacity(double cpus, double memoryMb) {}
