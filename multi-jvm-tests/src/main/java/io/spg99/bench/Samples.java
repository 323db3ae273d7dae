package io.spg99.bench;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** Durations of one measured thing. */
final class Samples {

    private final List<Duration> values = new ArrayList<>();

    void add(Duration value) {
        values.add(value);
    }

    double medianMillis() {
        return percentileMillis(50);
    }

    /** The smallest value that at least {@code percent} of all do not exceed (nearest rank), in milliseconds. */
    double percentileMillis(int percent) {
        if (values.isEmpty()) {
            throw new IllegalStateException("no samples");
        }
        List<Duration> sorted = new ArrayList<>(values);
        Collections.sort(sorted);
        int rank = (int) Math.ceil(percent / 100.0 * sorted.size());
        return sorted.get(Math.max(rank, 1) - 1).toNanos() / 1e6;
    }
}
