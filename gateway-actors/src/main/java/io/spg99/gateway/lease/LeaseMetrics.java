package io.spg99.gateway.lease;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import java.util.concurrent.atomic.AtomicInteger;

/** What the leases of one Gateway count. */
public final class LeaseMetrics {

    private final AtomicInteger active = new AtomicInteger();
    private final Counter acquired;

    public LeaseMetrics(MeterRegistry registry) {
        registry.gauge("spg99.lease.active", active);
        acquired = Counter.builder("spg99.lease.acquire")
                .description("leases asked for, repetitions of the same wish not counted")
                .register(registry);
    }

    void acquiring() {
        acquired.increment();
    }

    void granted() {
        active.incrementAndGet();
    }

    void given() {
        active.decrementAndGet();
    }
}
