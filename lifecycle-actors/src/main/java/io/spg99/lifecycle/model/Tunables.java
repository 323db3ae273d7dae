package io.spg99.lifecycle.model;

import java.time.Duration;

/**
 * What a user may change in a living database.
 *
 * @param idleTimeout time without activity after which the writer is stopped; zero for never
 */
public record Tunables(Duration idleTimeout, boolean autoscale, Profile minProfile, Profile maxProfile) {}
