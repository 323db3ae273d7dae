package io.spg99.gateway.pool;

import java.time.Duration;

/**
 * @param leaseTtl    a Gateway that has not renewed for this time has lost its lease; also how long its wait is remembered
 *                    without the Acquire being repeated
 * @param idleTimeout see {@link PoolsCommand.SetIdleTimeout}; zero for never
 * @param maxGateways Gateways that may hold or await a lease: bounds the memory a database spends on them
 * @param serverConnections connections of all Gateways together that the writer takes
 */
public record PoolsSettings(Duration leaseTtl, Duration idleTimeout, int maxGateways, int serverConnections) {
    public PoolsSettings {
        if (leaseTtl.isNegative()
                || leaseTtl.isZero()
                || idleTimeout.isNegative()
                || maxGateways < 1
                || serverConnections < 1) {
            throw new IllegalArgumentException(
                    "leaseTtl, maxGateways and serverConnections must be positive, idleTimeout not negative");
        }
    }
}
