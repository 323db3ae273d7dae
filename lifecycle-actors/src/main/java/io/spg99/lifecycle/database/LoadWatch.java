package io.spg99.lifecycle.database;

import io.spg99.compute.generation.GenerationEvent;
import io.spg99.lifecycle.autoscale.LoadSample;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;

/** What one writer has used: samples made of the growing sums that it reports. Bounded by the length of what is looked at. */
final class LoadWatch {

    private record Reported(GenerationEvent.Load load, Instant at) {}

    private final Duration kept;
    private final Deque<LoadSample> samples = new ArrayDeque<>();
    private Optional<Reported> last = Optional.empty();

    LoadWatch(Duration kept) {
        this.kept = kept;
    }

    /** @return the sample that this makes; none is made of the first that a generation reports */
    Optional<LoadSample> add(GenerationEvent.Load load, int waiting, Instant now) {
        Optional<LoadSample> made = Optional.empty();
        if (last.filter(before -> before.load().generation() == load.generation())
                .isEmpty()) {
            samples.clear();
        } else {
            Reported before = last.get();
            double elapsed = Duration.between(before.at(), now).toNanos() / 1e9;
            if (elapsed <= 0) {
                return made;
            }
            double used = Math.max(0, load.cpu().minus(before.load().cpu()).toNanos() / 1e9);
            boolean evicts = load.evicted() > before.load().evicted();
            LoadSample sample = new LoadSample(
                    now,
                    used / elapsed,
                    load.memory() / (double) (1 << 20),
                    waiting,
                    evicts ? Math.max(0, load.misses() - before.load().misses()) / elapsed : 0);
            samples.addLast(sample);
            made = Optional.of(sample);
        }
        last = Optional.of(new Reported(load, now));
        while (!samples.isEmpty() && samples.getFirst().at().isBefore(now.minus(kept))) {
            samples.removeFirst();
        }
        return made;
    }

    List<LoadSample> samples() {
        return List.copyOf(samples);
    }
}
