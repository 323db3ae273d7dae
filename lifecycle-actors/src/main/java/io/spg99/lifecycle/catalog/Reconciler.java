package io.spg99.lifecycle.catalog;

import io.spg99.lifecycle.database.DatabaseReply;
import io.spg99.lifecycle.database.Databases;
import io.spg99.lifecycle.database.Lifecycle;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.pekko.actor.Cancellable;
import org.apache.pekko.actor.typed.ActorSystem;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * After a start, wakes the actors of all databases that were in the middle of something, so that their recovery finishes it:
 * a creation or deletion goes on, a writer that died with its node is noticed. One after the other, in small portions.
 */
public final class Reconciler {

    private static final Logger LOG = LoggerFactory.getLogger(Reconciler.class);

    /** Rows read at once; only bounds memory. */
    private static final int PORTION = 100;

    private final DatabaseRows rows;
    private final Databases databases;

    public Reconciler(Catalog catalog, Databases databases) {
        this.rows = catalog.databases();
        this.databases = databases;
    }

    /** Runs now and again after each pause, until cancelled: a lost node's databases are noticed while others live on. */
    public Cancellable keepRunning(ActorSystem<?> system, Duration pause) {
        AtomicBoolean underWay = new AtomicBoolean();
        return system.scheduler()
                .scheduleWithFixedDelay(
                        Duration.ZERO,
                        pause,
                        () -> {
                            if (underWay.compareAndSet(false, true)) {
                                run().whenComplete((seen, failure) -> {
                                    underWay.set(false);
                                    if (failure != null) {
                                        LOG.warn("databases not looked after: reason={}", failure.getMessage());
                                    }
                                });
                            }
                        },
                        system.executionContext());
    }

    /** Completes with the number of databases seen to. A database that does not answer is logged and left as it is. */
    public CompletionStage<Integer> run() {
        return from("", 0);
    }

    private CompletionStage<Integer> from(String afterId, int done) {
        return rows.unsettled(afterId, PORTION).thenCompose(portion -> {
            if (portion.isEmpty()) {
                return CompletableFuture.completedStage(done);
            }
            return all(portion)
                    .thenCompose(seen -> from(portion.getLast().spec().databaseId(), done + portion.size()));
        });
    }

    private CompletionStage<Void> all(List<DatabaseRow> portion) {
        CompletionStage<Void> last = CompletableFuture.completedStage(null);
        for (DatabaseRow row : portion) {
            last = last.thenCompose(before -> settle(row)).exceptionally(failure -> {
                LOG.warn(
                        "database not settled: database={} state={} reason={}",
                        row.spec().databaseId(),
                        row.state(),
                        failure.getMessage());
                return null;
            });
        }
        return last;
    }

    private CompletionStage<Void> settle(DatabaseRow row) {
        String id = row.spec().databaseId();
        if (row.deleting()) {
            return databases.delete(id, true).thenCompose(reply -> removeIfGone(row, reply));
        }
        if (row.state().equals(Lifecycle.CREATING.word())) {
            return databases.create(row.spec()).thenAccept(reply -> {});
        }
        return databases.describe(id).thenCompose(reply -> removeIfGone(row, reply));
    }

    /** A row whose database does not exist any longer: a deletion was cut short before its last step. */
    private CompletionStage<Void> removeIfGone(DatabaseRow row, DatabaseReply reply) {
        return reply instanceof DatabaseReply.NotFound
                ? rows.remove(row.spec().databaseId()).thenAccept(done -> {})
                : CompletableFuture.completedStage(null);
    }
}
