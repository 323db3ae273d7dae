package io.spg99.lifecycle.database;

import io.spg99.lifecycle.autoscale.LoadSample;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;

/** What one writer has used: samples made of the growing sums that it reports. Bounded by the length of what is looked at. */
final class LoadWatch {

    private record Reported(int generation, Duration cpu, Instant at) {}

    private final Duration kept;
    private final Deque<LoadSample> samples = new ArrayDeque<>();
    private Optional<Reported> last = Optional.empty();

    LoadWatch(Duration kept) {
        this.kept = kept;
    }

    /**
     * @param cpu processor time of all processes of {@code generation} so far
     * @return the sample that this makes; none is made of the first that a generation reports
     */
    Optional<LoadSample> add(int generation, Duration cpu, int waiting, Instant now) {
        Optional<LoadSample> made = Optional.empty();
        if (last.filter(before -> before.generation() == generation).isEmpty()) {
            samples.clear();
        } else {
            Reported before = last.get();
            double elapsed = Duration.between(before.at(), now).toNanos();
            if (elapsed <= 0) {
                return made;
            }
            double used = Math.max(0, cpu.minus(before.cpu()).toNanos());
            LoadSample sample = new LoadSample(now, used / elapsed, waiting);
            samples.addLast(sample);
            made = Optional.of(sample);
        }
        last = Optional.of(new Reported(generation, cpu, now));
        while (!samples.isEmpty() && samples.getFirst().at().isBefore(now.minus(kept))) {
            samples.removeFirst();
        }
        return made;
    }

    List<LoadSample> samples() {
        return List.copyOf(samples);
    }
}
