package io.spg99.verify;

import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/**
 * A thread of an instance. It runs only while the scheduler has handed it the turn, and hands it back when it waits: at any
 * moment one thread of the simulation runs, so that blocking production code is as deterministic as the rest.
 */
final class Fiber {

    private final Scheduler scheduler;
    private final Instance instance;
    private final Thread thread;

    /** What the owner wants to remember of it: the promise under which it was started. */
    private final int tag;

    private volatile boolean turn;
    private boolean over;

    Fiber(Scheduler scheduler, Instance instance, int tag, Runnable body) {
        this.scheduler = scheduler;
        this.instance = instance;
        this.tag = tag;
        this.thread = Thread.ofVirtual().unstarted(() -> run(body));
        scheduler.started(this);
        scheduler.at(instance, scheduler.jitter(), this::resume);
    }

    boolean isOf(Instance whose) {
        return instance.equals(whose);
    }

    int tag() {
        return tag;
    }

    private void run(Runnable body) {
        awaitTurn();
        try {
            checkAlive();
            body.run();
        } catch (Killed e) {
            // Its instance is no more.
        } catch (Throwable e) {
            scheduler.fail(e);
        } finally {
            over = true;
            scheduler.ended(this);
            handBack();
        }
    }

    /** Runs it until it waits again; for the scheduler's thread. */
    void resume() {
        if (over) {
            return;
        }
        scheduler.inFiber(this);
        turn = true;
        if (thread.getState() == Thread.State.NEW) {
            thread.start();
        } else {
            LockSupport.unpark(thread);
        }
        while (turn) {
            LockSupport.park(this);
        }
        scheduler.inFiber(null);
    }

    private void handBack() {
        turn = false;
        LockSupport.unpark(scheduler.thread());
    }

    private void awaitTurn() {
        while (!turn) {
            LockSupport.park(this);
        }
    }

    private void suspend() {
        handBack();
        awaitTurn();
        checkAlive();
    }

    private void checkAlive() {
        if (!instance.isAlive() || scheduler.isClosed()) {
            throw new Killed();
        }
    }

    /** Has it look again at what it waits for. */
    void wake() {
        scheduler.at(instance, scheduler.jitter(), this::resume);
    }

    /**
     * Waits; for this fiber itself.
     *
     * @param micros limit
     * @return what {@code ready} says in the end
     */
    boolean await(BooleanSupplier ready, long micros) {
        checkAlive();
        long deadline = scheduler.now() + micros;
        if (!ready.getAsBoolean()) {
            scheduler.at(instance, micros, this::resume);
        }
        while (!ready.getAsBoolean() && scheduler.now() < deadline) {
            suspend();
        }
        return ready.getAsBoolean();
    }

    /** Lets others run meanwhile. */
    void pause(long micros) {
        await(() -> false, micros);
    }
}
