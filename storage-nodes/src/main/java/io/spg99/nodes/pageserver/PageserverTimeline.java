package io.spg99.nodes.pageserver;

import io.spg99.storage.pageserver.PageserverCommand;
import io.spg99.storage.pageserver.PageserverReply;
import io.spg99.storage.snapshot.Manifest;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.PostStop;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;

/**
 * Decides when one timeline gets its next snapshot. Child of {@link Pageserver}, which ends it; gives up nothing when it is
 * lost, as the next Advance tells everything again.
 *
 * <pre>
 * state     on                                    does, then
 * resting   Advance, over                         waits a little: a start may be going on there   -> due
 *           Advance, enough WAL since the last    as well                                         -> due
 *           Advance, the same as before           as well; says which snapshot is the newest      -> due
 *           Advance, less than that               waits for the snapshot's age                    -> due
 *           Forget                                answers, stops
 * due       the time has come                     a worker makes the snapshot                     -> working
 * working   Advance                               is remembered
 *           done                                  tells who asked; looks at what was remembered   -> resting
 *           failed                                tries again after a while                       -> due
 *           Forget                                interrupts the worker; answers when it has ended
 * </pre>
 *
 * Beside that, in any state: when the retention time has passed since a snapshot was made, a worker deletes what no snapshot needs any
 * more, whether or not the database still runs; and again as long as there is more.
 */
final class PageserverTimeline extends AbstractBehavior<PageserverTimeline.Message> {

    sealed interface Message {}

    record Told(PageserverCommand command) implements Message {}

    private enum Due implements Message {
        INSTANCE
    }

    /** What was replaced is old. */
    private enum Old implements Message {
        INSTANCE
    }

    private record Done(Lsn triedUpTo, SnapshotMaker.Result result) implements Message {}

    /** @param more will be old later */
    private record Collected(boolean more) implements Message {}

    private record NotCollected(String reason) implements Message {}

    private record Failed(String reason) implements Message {}

    /** Who is told of snapshots; a database has one actor, and another after it has moved. */
    private static final int MOST_ASKERS = 4;

    private final TimelineId timeline;
    private final PageserverSettings settings;
    private final SnapshotMaker maker;
    private final Executor workers;
    private final Clock clock;
    private final TimerScheduler<Message> timers;

    /** What was told last. */
    private Optional<PageserverCommand.Advance> latest = Optional.empty();

    private final Set<ActorRef<PageserverReply>> askers = new HashSet<>();

    /** Up to where snapshots were made or tried in vain for want of a checkpoint; zero before the first. */
    private Lsn triedUpTo = Lsn.ZERO;

    /** The newest snapshot known of. */
    private Optional<PageserverReply.Snapshot> snapshot = Optional.empty();

    /** When WAL came after {@link #triedUpTo}. */
    private Instant since;

    /** The position told last was told twice: Safekeepers hold all the WAL they may, and commits wait for a snapshot. */
    private boolean awaited;

    /** When the timer comes, if there is one. */
    private Instant due = Instant.EPOCH;

    /** Work that failed is not tried again before. */
    private Instant pause = Instant.EPOCH;

    private Optional<RedoRun<SnapshotMaker.Result>> working = Optional.empty();
    private Optional<RedoRun<Boolean>> collecting = Optional.empty();
    private Optional<ActorRef<PageserverReply>> forgetting = Optional.empty();

    static Behavior<Message> create(
            TimelineId timeline, PageserverSettings settings, SnapshotMaker maker, Executor workers, Clock clock) {
        return Behaviors.setup(context -> Behaviors.withTimers(
                timers -> new PageserverTimeline(context, timers, timeline, settings, maker, workers, clock)));
    }

    private PageserverTimeline(
            ActorContext<Message> context,
            TimerScheduler<Message> timers,
            TimelineId timeline,
            PageserverSettings settings,
            SnapshotMaker maker,
            Executor workers,
            Clock clock) {
        super(context);
        this.timers = timers;
        this.timeline = timeline;
        this.settings = settings;
        this.maker = maker;
        this.workers = workers;
        this.clock = clock;
        this.since = clock.instant();
    }

    @Override
    public Receive<Message> createReceive() {
        return newReceiveBuilder()
                .onMessage(Message.class, this::onMessage)
                .onSignal(PostStop.class, stop -> onPostStop())
                .build();
    }

    private Behavior<Message> onMessage(Message message) {
        return switch (message) {
            case Told told -> onCommand(told.command());
            case Due due -> onDue();
            case Old old -> onOld();
            case Done done -> onDone(done);
            case Collected collected -> onCollected(collected.more());
            case NotCollected failed -> onNotCollected(failed);
            case Failed failed -> onFailed(failed);
        };
    }

    private Behavior<Message> onCommand(PageserverCommand command) {
        return switch (command) {
            case PageserverCommand.Advance advance -> onAdvance(advance);
            case PageserverCommand.Forget forget -> onForget(forget);
        };
    }

    private Behavior<Message> onAdvance(PageserverCommand.Advance advance) {
        if (forgetting.isPresent()) {
            return this;
        }
        if (askers.size() == MOST_ASKERS) {
            askers.clear();
        }
        awaited = latest.filter(known -> known.end().equals(advance.end()) && !known.booting() && !advance.booting())
                .isPresent();
        if (askers.add(advance.replyTo()) || awaited) {
            // Told again: it may have missed the answer.
            snapshot.ifPresent(known -> advance.replyTo().tell(known));
        }
        boolean anew =
                latest.filter(known -> known.booting() != advance.booting()).isPresent();
        // Positions only grow; one that comes late says nothing new.
        if (latest.filter(known -> known.end().isAfter(advance.end())).isEmpty()) {
            if (latest.filter(known -> known.end().isAfter(triedUpTo)).isEmpty()) {
                since = clock.instant();
            }
            latest = Optional.of(advance);
        }
        plan(anew);
        return this;
    }

    /**
     * Sets the time for the next snapshot, if there is anything to be made one of.
     *
     * @param anew even if it was set already: a start has begun, or is over
     */
    private void plan(boolean anew) {
        if (working.isPresent() || latest.isEmpty() || !latest.get().end().isAfter(triedUpTo)) {
            return;
        }
        PageserverCommand.Advance next = latest.get();
        boolean enough = next.end().minus(triedUpTo) >= settings.walForSnapshot() && !triedUpTo.equals(Lsn.ZERO);
        Instant now = clock.instant();
        boolean soon = next.over() || enough || awaited || anew;
        schedule(
                next.booting()
                        ? now.plus(settings.bootLimit())
                        : soon ? now.plus(settings.delay()) : since.plus(settings.mostAge()),
                anew);
    }

    /** Not later than it was set already, unless it is set anew: a busy writer is told of every second. */
    private void schedule(Instant wanted, boolean anew) {
        Instant time = wanted.isBefore(pause) ? pause : wanted;
        if (anew || !timers.isTimerActive(Due.INSTANCE) || time.isBefore(due)) {
            due = time;
            Duration wait = Duration.between(clock.instant(), time);
            timers.startSingleTimer(Due.INSTANCE, Due.INSTANCE, wait.isNegative() ? Duration.ZERO : wait);
        }
    }

    private Behavior<Message> onDue() {
        if (working.isPresent() || latest.isEmpty() || forgetting.isPresent()) {
            return this;
        }
        PageserverCommand.Advance next = latest.get();
        RedoJob job = new RedoJob(next.base(), next.image(), next.history(), next.end(), next.sources());
        RedoRun<SnapshotMaker.Result> run = new RedoRun<>(() -> maker.advance(job));
        working = Optional.of(run);
        workers.execute(run);
        getContext()
                .pipeToSelf(
                        run.result(),
                        (result, failure) ->
                                failure == null ? new Done(job.end(), result) : new Failed(describe(failure)));
        return this;
    }

    private Behavior<Message> onOld() {
        if (collecting.isPresent() || forgetting.isPresent()) {
            return this;
        }
        RedoRun<Boolean> run = new RedoRun<>(() -> maker.collect(timeline));
        collecting = Optional.of(run);
        workers.execute(run);
        getContext()
                .pipeToSelf(
                        run.result(),
                        (more, failure) -> failure == null ? new Collected(more) : new NotCollected(describe(failure)));
        return this;
    }

    private Behavior<Message> onCollected(boolean more) {
        collecting = Optional.empty();
        if (forgetting.isPresent()) {
            return forget();
        }
        if (more) {
            collectLater();
        }
        return this;
    }

    private Behavior<Message> onNotCollected(NotCollected failed) {
        getContext()
                .getLog()
                .warn(
                        "timeline={} what no snapshot needs could not be deleted, is tried again later: {}",
                        timeline,
                        failed.reason());
        return onCollected(true);
    }

    private void collectLater() {
        if (!timers.isTimerActive(Old.INSTANCE)) {
            timers.startSingleTimer(
                    Old.INSTANCE, Old.INSTANCE, settings.retention().plus(settings.delay()));
        }
    }

    private static String describe(Throwable failure) {
        Throwable cause =
                failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
        return cause instanceof IOException ? String.valueOf(cause.getMessage()) : cause.toString();
    }

    private Behavior<Message> onDone(Done done) {
        working = Optional.empty();
        triedUpTo = Lsn.max(triedUpTo, done.triedUpTo());
        since = clock.instant();
        if (forgetting.isPresent()) {
            return forget();
        }
        done.result().newest().ifPresent(newest -> tell(newest, done.result().storedBytes()));
        plan(false);
        return this;
    }

    private void tell(Manifest newest, long storedBytes) {
        PageserverReply.Snapshot next =
                new PageserverReply.Snapshot(timeline, newest.end(), newest.walStart(), storedBytes);
        boolean old = snapshot.filter(known -> known.equals(next) || known.end().isAfter(next.end()))
                .isPresent();
        if (!old) {
            snapshot = Optional.of(next);
            askers.forEach(asker -> asker.tell(next));
            collectLater();
        }
    }

    private Behavior<Message> onFailed(Failed failed) {
        working = Optional.empty();
        if (forgetting.isPresent()) {
            return forget();
        }
        getContext()
                .getLog()
                .warn(
                        "timeline={} no snapshot could be made, is tried again after {}: {}",
                        timeline,
                        settings.retryAfter(),
                        failed.reason());
        pause = clock.instant().plus(settings.retryAfter());
        schedule(pause, true);
        return this;
    }

    private Behavior<Message> onForget(PageserverCommand.Forget forget) {
        forgetting = Optional.of(forget.replyTo());
        timers.cancelAll();
        working.ifPresent(RedoRun::cancel);
        collecting.ifPresent(RedoRun::cancel);
        return forget();
    }

    private Behavior<Message> forget() {
        if (working.isPresent() || collecting.isPresent()) {
            return this;
        }
        forgetting.ifPresent(asker -> asker.tell(new PageserverReply.Forgotten(timeline)));
        return Behaviors.stopped();
    }

    private Behavior<Message> onPostStop() {
        working.ifPresent(RedoRun::cancel);
        collecting.ifPresent(RedoRun::cancel);
        return this;
    }
}
