package io.spg99.verify;

import io.spg99.storage.thread.Threads;
import java.util.function.IntSupplier;
import org.jspecify.annotations.Nullable;

/** The threads of one instance. */
final class SimThreads implements Threads {

    private final Scheduler scheduler;
    private final Instance instance;
    private final IntSupplier tag;

    SimThreads(Scheduler scheduler, Instance instance, IntSupplier tag) {
        this.scheduler = scheduler;
        this.instance = instance;
        this.tag = tag;
    }

    @Override
    public void start(String name, Runnable body) {
        new Fiber(scheduler, instance, tag.getAsInt(), body);
    }

    @Override
    public Gate gate() {
        return new Gate() {
            private boolean open;
            private @Nullable Fiber waiting;

            @Override
            public void open() {
                open = true;
                Fiber fiber = waiting;
                if (fiber != null) {
                    fiber.wake();
                }
            }

            @Override
            public boolean isOpen() {
                return open;
            }

            @Override
            public boolean await(long millis) {
                Fiber fiber = scheduler.ownFiber();
                waiting = fiber;
                return fiber.await(() -> open, millis * Scheduler.MILLI);
            }
        };
    }

    @Override
    public long nanoTime() {
        return scheduler.now() * 1000;
    }
}
