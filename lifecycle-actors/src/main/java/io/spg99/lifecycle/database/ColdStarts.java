package io.spg99.lifecycle.database;

import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;

/** Measures how long databases take to wake, phase by phase: metric {@code spg99_cold_start_seconds}. */
public final class ColdStarts {

    static final String METRIC = "spg99.cold.start";

    private final MeterRegistry meters;

    public ColdStarts(MeterRegistry meters) {
        this.meters = meters;
    }

    void record(Map<String, Duration> phases) {
        phases.forEach((phase, duration) -> Timer.builder(METRIC)
                .description("time from the wish for a writer to its being ready, by phase")
                .tag("phase", phase)
                .publishPercentileHistogram()
                .register(meters)
                .record(duration));
    }

    /** One wake. Phases are those of the attempt that succeeded; {@code total} is from the wish on. */
    static final class Wake {
        private final Clock clock;
        private final Instant wished;
        private final Map<String, Duration> phases = new LinkedHashMap<>();
        private Instant mark;

        Wake(Clock clock) {
            this.clock = clock;
            this.wished = clock.instant();
            this.mark = wished;
        }

        Instant wished() {
            return wished;
        }

        /** A new attempt begins now: what was measured of the one before is forgotten. */
        void attempt() {
            phases.clear();
            mark = clock.instant();
        }

        /** {@code phase} ends now, and the next one begins. */
        void ended(String phase) {
            Instant now = clock.instant();
            phases.put(phase, Duration.between(mark, now));
            mark = now;
        }

        /** The next phase that {@link #ended} measures begins now. */
        void mark() {
            mark = clock.instant();
        }

        void measured(Map<String, Duration> reported) {
            phases.putAll(reported);
        }

        Map<String, Duration> finish() {
            phases.put("total", Duration.between(wished, clock.instant()));
            return Map.copyOf(phases);
        }

        @Override
        public String toString() {
            return phases.entrySet().stream()
                    .map(phase -> "%s=%.1fms"
                            .formatted(phase.getKey(), phase.getValue().toNanos() / 1e6))
                    .collect(Collectors.joining(" "));
        }
    }
}
