package io.spg99.compute.generation;

import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import org.jspecify.annotations.Nullable;

/** Blocking work on another thread that can be interrupted. Its future completes only when the work has really ended. */
final class BlockingStep<T> implements Runnable {

    private final Callable<T> work;
    private final CompletableFuture<T> done = new CompletableFuture<>();
    private @Nullable Thread thread;
    private boolean cancelled;

    private BlockingStep(Callable<T> work) {
        this.work = work;
    }

    static <T> BlockingStep<T> start(Executor executor, Callable<T> work) {
        BlockingStep<T> step = new BlockingStep<>(work);
        try {
            executor.execute(step);
        } catch (RejectedExecutionException e) {
            step.done.completeExceptionally(e);
        }
        return step;
    }

    CompletableFuture<T> done() {
        return done;
    }

    synchronized void cancel() {
        cancelled = true;
        if (thread != null) {
            thread.interrupt();
        }
    }

    @Override
    public void run() {
        if (!begin()) {
            done.completeExceptionally(new CancellationException("stopped"));
            return;
        }
        try {
            T result = work.call();
            end();
            done.complete(result);
        } catch (Throwable e) {
            end();
            done.completeExceptionally(e);
        }
    }

    private synchronized boolean begin() {
        if (!cancelled) {
            thread = Thread.currentThread();
        }
        return !cancelled;
    }

    /** After this no interrupt reaches the thread any more, which belongs to somebody else next. */
    private synchronized void end() {
        thread = null;
        Thread.interrupted();
    }
}
