package io.spg99.lifecycle.autoscale;

import java.time.Instant;

/**
 * What a writer used up to {@code at}, since the sample before.
 *
 * @param cpus    processors, on average
 * @param waiting clients that waited for a server connection, when that was last heard
 */
public record LoadSample(Instant at, double cpus, int waiting) {}
