package io.spg99.nodes.safekeeper.receive;

import java.time.Duration;

/** How long to wait before the next attempt: doubles with each, until something has gone well. */
final class Backoff {

    static final Duration FIRST = Duration.ofMillis(50);
    static final Duration LAST = Duration.ofSeconds(2);

    private Duration next = FIRST;

    Duration next() {
        Duration wait = next;
        Duration doubled = next.multipliedBy(2);
        next = doubled.compareTo(LAST) < 0 ? doubled : LAST;
        return wait;
    }

    void reset() {
        next = FIRST;
    }
}
