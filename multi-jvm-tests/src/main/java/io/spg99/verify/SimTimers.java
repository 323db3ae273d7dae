package io.spg99.verify;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;

/** The timers of one actor; single ones only, as nothing that is simulated has others. */
final class SimTimers<T> implements TimerScheduler<T> {

    private final Scheduler scheduler;
    private final Instance instance;
    private final Consumer<T> actor;

    /** Running timers by key; the value tells a timer from its predecessors. */
    private final Map<Object, Object> running = new HashMap<>();

    SimTimers(Scheduler scheduler, Instance instance, Consumer<T> actor) {
        this.scheduler = scheduler;
        this.instance = instance;
        this.actor = actor;
    }

    @Override
    public void startSingleTimer(Object key, T message, Duration delay) {
        Object timer = new Object();
        running.put(key, timer);
        scheduler.at(instance, delay.toNanos() / 1000 + scheduler.jitter(), () -> {
            if (running.remove(key, timer)) {
                actor.accept(message);
            }
        });
    }

    @Override
    public boolean isTimerActive(Object key) {
        return running.containsKey(key);
    }

    @Override
    public void cancel(Object key) {
        running.remove(key);
    }

    @Override
    public void cancelAll() {
        running.clear();
    }

    @Override
    public void startTimerWithFixedDelay(Object key, T message, Duration delay) {
        throw unsupported();
    }

    @Override
    public void startTimerWithFixedDelay(Object key, T message, Duration initial, Duration delay) {
        throw unsupported();
    }

    @Override
    public void startTimerAtFixedRate(Object key, T message, Duration interval) {
        throw unsupported();
    }

    @Override
    public void startTimerAtFixedRate(Object key, T message, Duration initial, Duration interval) {
        throw unsupported();
    }

    @Override
    @Deprecated
    public void startPeriodicTimer(Object key, T message, Duration interval) {
        throw unsupported();
    }

    private static UnsupportedOperationException unsupported() {
        return new UnsupportedOperationException("only single timers are simulated");
    }
}
