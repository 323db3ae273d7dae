package io.spg99.nodes.pageserver;

import java.io.IOException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.jspecify.annotations.Nullable;

/** One run of a {@link SnapshotMaker} on a worker's thread, which can be told to end. */
final class RedoRun implements Runnable {

    private final SnapshotMaker maker;
    private final RedoJob job;
    private final CompletableFuture<SnapshotMaker.Result> result = new CompletableFuture<>();
    private @Nullable Thread runner;
    private boolean cancelled;

    RedoRun(SnapshotMaker maker, RedoJob job) {
        this.maker = maker;
        this.job = job;
    }

    /** Completes when the run has ended, also if it was cancelled. */
    CompletionStage<SnapshotMaker.Result> result() {
        return result.minimalCompletionStage();
    }

    @Override
    public void run() {
        try {
            begin();
            result.complete(maker.advance(job));
        } catch (IOException | RuntimeException e) {
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
