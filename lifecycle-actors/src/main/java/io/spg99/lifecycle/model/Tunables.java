package io.spg99.lifecycle.model;

import io.spg99.gateway.login.PoolMode;
import java.time.Duration;
import java.util.Objects;

/**
 * What a user may change in a living database.
 *
 * @param idleTimeout time without activity after which the writer is stopped; zero for never
 * @param poolMode    of clients that do not ask for the other one
 */
public record Tunables(
        Duration idleTimeout, boolean autoscale, Profile minProfile, Profile maxProfile, PoolMode poolMode) {

    public Tunables {
        // Events that are older than it have none.
        poolMode = Objects.requireNonNullElse(poolMode, PoolMode.TRANSACTION);
    }
}
