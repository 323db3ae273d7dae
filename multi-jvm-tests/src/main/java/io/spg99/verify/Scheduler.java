package io.spg99.verify;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;
import java.util.SplittableRandom;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Virtual time and one order of events, both from the seed. Time is in microseconds. */
final class Scheduler {

    static final long MILLI = 1000;
    static final long SECOND = 1_000_000;

    private record Event(long at, long order, @Nullable Instance instance, Runnable action) {}

    private final SplittableRandom random;
    private final Trace trace;
    private final Thread thread = Thread.currentThread();
    private final PriorityQueue<Event> events =
            new PriorityQueue<>(Comparator.comparingLong(Event::at).thenComparingLong(Event::order));
    private final List<Fiber> fibers = new ArrayList<>();
    private long now;
    private long order;
    private boolean closed;
    private @Nullable Instance current;
    private @Nullable Fiber fiber;
    private @Nullable Throwable failure;

    Scheduler(long seed, Trace trace) {
        // Seeds of SplittableRandom that follow each other give similar first numbers.
        this.random = new SplittableRandom(new SplittableRandom(seed).nextLong() ^ seed * 0x9E3779B97F4A7C15L);
        this.trace = trace;
    }

    Thread thread() {
        return thread;
    }

    long now() {
        return now;
    }

    SplittableRandom random() {
        return random;
    }

    /** The instance whose code runs now; null outside of any. */
    @Nullable
    Instance current() {
        return current;
    }

    @Nullable
    Fiber fiber() {
        return fiber;
    }

    Fiber ownFiber() {
        Fiber own = fiber;
        if (own == null) {
            throw new IllegalStateException("only a fiber may wait");
        }
        return own;
    }

    void inFiber(@Nullable Fiber running) {
        fiber = running;
    }

    /** Time that the smallest thing takes. */
    long jitter() {
        return random.nextInt(1, 30);
    }

    boolean chance(double probability) {
        return random.nextDouble() < probability;
    }

    long between(long least, long most) {
        return least >= most ? least : random.nextLong(least, most + 1);
    }

    /** Does {@code action} as {@code instance} in a while, if that is still alive then. */
    void at(@Nullable Instance instance, long delay, Runnable action) {
        events.add(new Event(now + Math.max(0, delay), order++, instance, action));
    }

    void say(Supplier<String> what) {
        trace.say(now, current, what);
    }

    /** Ends the run. */
    void fail(Throwable reason) {
        if (failure == null) {
            failure = reason;
        }
    }

    /** Runs what comes next; false if nothing does. */
    boolean step() {
        Event event = events.poll();
        if (event == null) {
            return false;
        }
        now = event.at();
        Instance instance = event.instance();
        if (instance == null || instance.isAlive()) {
            as(instance, event.action());
        }
        Throwable reason = failure;
        if (reason != null) {
            throw reason instanceof Violation violation
                    ? violation
                    : new Violation("unexpected", String.valueOf(reason), reason);
        }
        return true;
    }

    /** Does {@code action} at once as {@code instance}. */
    void as(@Nullable Instance instance, Runnable action) {
        Instance before = current;
        current = instance;
        try {
            action.run();
        } catch (Killed e) {
            // The instance is no more.
        } catch (Violation e) {
            fail(e);
        } catch (RuntimeException e) {
            fail(new Violation("unexpected", instance + " throws " + e, e));
        } finally {
            current = before;
        }
    }

    void started(Fiber started) {
        fibers.add(started);
    }

    void ended(Fiber ended) {
        fibers.remove(ended);
    }

    boolean isClosed() {
        return closed;
    }

    /** Ends every fiber that is left. */
    void close() {
        closed = true;
        while (!fibers.isEmpty()) {
            List.copyOf(fibers).forEach(Fiber::resume);
        }
    }

    /** Kills an instance; its fibers unwind one by one. */
    void kill(Instance instance) {
        instance.die();
        for (Fiber victim : fibers) {
            if (victim.isOf(instance) && !victim.equals(fiber)) {
                at(null, 0, victim::resume);
            }
        }
    }
}
