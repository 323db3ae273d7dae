package io.spg99.lifecycle.database;

import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.time.Duration;
import java.util.Map;

/** Measures handoffs: {@code spg99_handoff_seconds} by phase, {@code spg99_handoffs_total} by outcome. */
public final class HandoffMetrics {

    static final String PHASES = "spg99.handoff";
    static final String OUTCOMES = "spg99.handoffs";

    private final MeterRegistry meters;

    public HandoffMetrics(MeterRegistry meters) {
        this.meters = meters;
    }

    void completed(Map<String, Duration> phases) {
        phases.forEach((phase, duration) -> Timer.builder(PHASES)
                .description("duration of each phase of a completed handoff; frozen is what clients wait for")
                .tag("phase", phase)
                .publishPercentileHistogram()
                .register(meters)
                .record(duration));
        ended("completed");
    }

    /** @param outcome completed, postponed, abandoned, failed or lost */
    void ended(String outcome) {
        meters.counter(OUTCOMES, "outcome", outcome).increment();
    }
}
