package io.spg99.nodes.pageserver;

import java.io.IOException;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.jspecify.annotations.Nullable;

/** Work of a {@link SnapshotMaker} on a worker's thread, which can be told to end. */
final class RedoRun<T> implements Runnable {

    private final Callable<T> work;
    private final CompletableFuture<T> result = new CompletableFuture<>();
    private @Nullable Thread runner;
    private boolean cancelled;

    RedoRun(Callable<T> work) {
        this.work = work;
    }

    /** Completes when the run has ended, also if it was cancelled. */
    CompletionStage<T> result() {
        return result.minimalCompletionStage();
    }

    @Override
    public void run() {
        try {
            begin();
            result.complete(work.call());
        } catch (Throwable e) {
            // An error, too: the timeline waits for the end of its work.
            result.completeExceptionally(e);
        } finally {
            end();
        }
    }

    private synchronized void begin() throws IOException {
        if (cancelled) {
            throw new IOException("cancelled");
        }
        runner = Thread.currentThread();
    }

    private synchronized void end() {
        runner = null;
        // The thread is used again.
        boolean ignored = Thread.interrupted();
    }

    synchronized void cancel() {
        cancelled = true;
        if (runner != null) {
            runner.interrupt();
        }
    }
}
