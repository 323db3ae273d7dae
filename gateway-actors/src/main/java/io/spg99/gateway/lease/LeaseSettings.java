package io.spg99.gateway.lease;

import java.time.Duration;

/**
 * @param gateway        this Gateway's name, unique in the cluster and per start
 * @param acquireRetry   an Acquire is said again after this time without an answer: it, or the answer, may be lost
 * @param reconnectDelay an Acquire after a failed connect waits this long, so that a dead writer is not hammered
 */
public record LeaseSettings(String gateway, Duration acquireRetry, Duration reconnectDelay) {}
