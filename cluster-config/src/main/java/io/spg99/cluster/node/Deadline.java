package io.spg99.cluster.node;

import java.time.Duration;

/**
 * When something that has several steps must be over: handed from one to the next, so that a step that takes long takes from
 * those after it and not from whoever waits.
 *
 * @param nanos on the clock of {@link System#nanoTime}
 */
public record Deadline(long nanos) {

    public static Deadline in(Duration time) {
        return new Deadline(System.nanoTime() + time.toNanos());
    }

    /** Leaves {@code share} to what comes after. */
    public Deadline before(Duration share) {
        return new Deadline(nanos - share.toNanos());
    }

    /** This one, or in {@code time} if that is sooner. */
    public Deadline atMost(Duration time) {
        Deadline other = in(time);
        return other.nanos - nanos < 0 ? other : this;
    }

    /** Zero when it has passed. */
    public Duration left() {
        return Duration.ofNanos(Math.max(0, nanos - System.nanoTime()));
    }
}
