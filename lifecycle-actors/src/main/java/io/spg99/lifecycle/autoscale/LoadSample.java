package io.spg99.lifecycle.autoscale;

import java.time.Instant;

/**
 * What a writer used up to {@code at}, since the sample before.
 *
 * @param cpus     processors, on average
 * @param memoryMb memory of its processes, in MB, without what they share
 * @param waiting  clients that waited for a server connection, when that was last heard
 * @param misses   blocks a second that reads waited for while the cache gave others back: it is too small for what is read
 */
public record LoadSample(Instant at, double cpus, double memoryMb, int waiting, double misses) {}
