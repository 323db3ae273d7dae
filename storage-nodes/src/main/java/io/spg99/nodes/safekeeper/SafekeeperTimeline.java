package io.spg99.nodes.safekeeper;

import io.spg99.nodes.safekeeper.log.FileWalDisk;
import io.spg99.nodes.safekeeper.log.LogFailedException;
import io.spg99.nodes.safekeeper.log.SupersededException;
import io.spg99.nodes.safekeeper.log.TimelineLog;
import io.spg99.nodes.safekeeper.receive.WalReceiver;
import io.spg99.nodes.safekeeper.serve.ServedTimeline;
import io.spg99.storage.safekeeper.SafekeeperCommand;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.SafekeeperReply;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.PostStop;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;
import org.jspecify.annotations.Nullable;

/**
 * One timeline on one Safekeeper: takes its commands strictly in order and answers what the log has made durable. Child
 * of {@link Safekeeper}; runs on a dispatcher of its own, where it may block for the length of a sync. Fetching from a
 * peer and following a writer have threads of their own, so that a promise never waits for them.
 *
 * <pre>
 * unknown   Create, Restore   -> open;  everything else is answered UnknownTimeline
 * open      Promise           stops receiver and fetch first; what they still append is refused by the log (W2)
 *           Establish         at once if nothing is missing, else by a fetch; repeated ones join it
 *           Attach            a receiver until Detach or a higher promise
 *           Delete            -> unknown, and stopped a while later
 * failed    everything        answered Failed, until opened anew after a while (W7)
 * </pre>
 */
final class SafekeeperTimeline extends AbstractBehavior<SafekeeperTimeline.Message> implements WalReceiver.Listener {

    sealed interface Message {}

    /** A command from outside. */
    record Told(SafekeeperCommand command) implements Message {}

    private enum Tick implements Message {
        /** Something moved since the last report. */
        PROGRESS,
        REPORT,
        REOPEN,
        /** Nobody has asked for the deleted timeline for a while. */
        FORGET
    }

    private record Fetched(Establishing job, @Nullable Throwable trouble) implements Message {}

    private record StreamChanged(WalReceiver receiver, boolean up) implements Message {}

    private record Stranded(WalReceiver receiver, Lsn at) implements Message {}

    private record ReceiverFailed(WalReceiver receiver, LogFailedException reason) implements Message {}

    /** A fetch under way, and who waits for its end. */
    private record Establishing(int generation, Lsn end, WalFetch fetch, List<ActorRef<SafekeeperReply>> askers) {}

    /** Positions are told at most this often; the writer itself is told at once, on its own connection. */
    private static final Duration REPORT_INTERVAL = Duration.ofMillis(100);

    /** A disk that failed is not tried again at once. */
    private static final Duration REOPEN_AFTER = Duration.ofSeconds(2);

    private static final Duration FORGET_AFTER = Duration.ofMinutes(1);

    private static final int MOST_ASKERS = 16;

    private final TimelineId timeline;
    private final Safekeeper.Parts parts;
    private final SafekeeperId id;
    private final TimerScheduler<Message> timers;
    private final Executor fetchExecutor;

    /** For other threads, which must not touch the context. */
    private final ActorRef<Message> self;

    /** Null while the timeline is unknown here or failed. */
    private @Nullable TimelineLog log;

    private @Nullable ServedTimeline served;

    /** Why the disk cannot be used; null while it can. */
    private @Nullable String failure;

    private @Nullable Establishing establishing;
    private @Nullable WalReceiver receiver;
    private boolean following;

    /** Who is told positions while attached. */
    private @Nullable ActorRef<SafekeeperReply> follower;

    /** A PROGRESS is in the mailbox already: a busy writer must not fill it. */
    private final AtomicBoolean progressTold = new AtomicBoolean();

    static Behavior<Message> create(TimelineId timeline, Safekeeper.Parts parts) {
        return Behaviors.setup(
                context -> Behaviors.withTimers(timers -> new SafekeeperTimeline(context, timers, timeline, parts)));
    }

    private SafekeeperTimeline(
            ActorContext<Message> context,
            TimerScheduler<Message> timers,
            TimelineId timeline,
            Safekeeper.Parts parts) {
        super(context);
        this.timeline = timeline;
        this.parts = parts;
        this.id = parts.settings().id();
        this.timers = timers;
        this.self = context.getSelf();
        this.fetchExecutor = task -> {
            Thread thread = new Thread(task, "spg99-" + id + "-fetch-" + timeline);
            thread.setDaemon(true);
            thread.start();
        };
        open();
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
            case Tick tick -> onTick(tick);
            case Fetched fetched -> onFetched(fetched);
            case StreamChanged changed -> onStreamChanged(changed);
            case Stranded stranded -> onStranded(stranded);
            case ReceiverFailed failed -> onReceiverFailed(failed);
        };
    }

    private Behavior<Message> onCommand(SafekeeperCommand command) {
        return switch (command) {
            case SafekeeperCommand.Create create -> onCreate(create);
            case SafekeeperCommand.Restore restore -> onRestore(restore);
            case SafekeeperCommand.Promise promise -> onPromise(promise);
            case SafekeeperCommand.Establish establish -> onEstablish(establish);
            case SafekeeperCommand.Attach attach -> onAttach(attach);
            case SafekeeperCommand.Detach detach -> onDetach(detach);
            case SafekeeperCommand.QuorumPosition position -> onQuorumPosition(position);
            case SafekeeperCommand.GetPosition get -> onGetPosition(get);
            case SafekeeperCommand.Delete delete -> onDelete(delete);
        };
    }

    private Behavior<Message> onTick(Tick tick) {
        switch (tick) {
            case PROGRESS -> onProgress();
            case REPORT -> report();
            case REOPEN -> open();
            case FORGET -> {
                if (log == null && failure == null) {
                    return Behaviors.stopped();
                }
            }
        }
        return this;
    }

    // Opening and failing

    private void open() {
        try {
            FileWalDisk disk = parts.store().existingDisk(timeline);
            TimelineLog found = disk == null ? null : TimelineLog.open(disk);
            failure = null;
            if (found != null) {
                opened(found);
            }
        } catch (IOException e) {
            fail(e);
        }
    }

    private void opened(TimelineLog opened) {
        log = opened;
        ServedTimeline next = new ServedTimeline(opened);
        served = next;
        parts.served().put(timeline, next);
        TimelineLog.View view = opened.view();
        getContext()
                .getLog()
                .info(
                        "timeline={} safekeeper={} open: promised={} generation={} flushed={}",
                        timeline,
                        id,
                        view.promised(),
                        view.generation(),
                        view.flushed());
    }

    private String fail(Throwable trouble) {
        String reason = String.valueOf(trouble.getMessage());
        if (!reason.equals(failure)) {
            getContext()
                    .getLog()
                    .error("timeline={} safekeeper={} failed, is opened anew later: {}", timeline, id, reason);
        }
        stopReceiver();
        stopFetch(new SafekeeperReply.Failed(id, timeline, reason));
        closeLog();
        failure = reason;
        timers.startSingleTimer(Tick.REOPEN, REOPEN_AFTER);
        return reason;
    }

    private void closeLog() {
        parts.served().remove(timeline);
        served = null;
        TimelineLog open = log;
        log = null;
        if (open != null) {
            try {
                open.close();
            } catch (IOException e) {
                getContext().getLog().warn("timeline={} safekeeper={} cannot close: {}", timeline, id, e.toString());
            }
        }
    }

    /** The log; if there is none the asker is told why. */
    private @Nullable TimelineLog logOrAnswer(ActorRef<SafekeeperReply> asker) {
        String reason = failure;
        if (reason != null) {
            asker.tell(new SafekeeperReply.Failed(id, timeline, reason));
        } else if (log == null) {
            asker.tell(new SafekeeperReply.UnknownTimeline(id, timeline));
        }
        return log;
    }

    private SafekeeperReply trouble(int generation, IOException trouble) {
        if (trouble instanceof SupersededException superseded) {
            return new SafekeeperReply.Refused(id, timeline, generation, superseded.promised());
        }
        TimelineLog open = log;
        if (open == null || open.failed()) {
            return new SafekeeperReply.Failed(id, timeline, fail(trouble));
        }
        getContext().getLog().warn("timeline={} safekeeper={} cannot: {}", timeline, id, trouble.getMessage());
        return new SafekeeperReply.Failed(id, timeline, String.valueOf(trouble.getMessage()));
    }

    // Beginning and end

    private Behavior<Message> onCreate(SafekeeperCommand.Create create) {
        ActorRef<SafekeeperReply> asker = create.replyTo();
        if (failure != null) {
            logOrAnswer(asker);
            return this;
        }
        try {
            TimelineLog open = log;
            if (open == null) {
                TimelineBase base = create.base();
                opened(TimelineLog.create(parts.store().disk(timeline, base.segmentSize()), base));
            } else if (open.base().systemIdentifier() != create.base().systemIdentifier()) {
                asker.tell(new SafekeeperReply.Failed(id, timeline, "another timeline of that id exists"));
                return this;
            }
            asker.tell(new SafekeeperReply.Created(id, timeline));
        } catch (IOException e) {
            asker.tell(trouble(TimelineBase.CREATION, e));
        }
        return this;
    }

    private Behavior<Message> onRestore(SafekeeperCommand.Restore restore) {
        ActorRef<SafekeeperReply> asker = restore.replyTo();
        if (failure != null) {
            logOrAnswer(asker);
            return this;
        }
        try {
            TimelineLog open = log;
            if (open == null) {
                TimelineBase base = restore.base();
                opened(TimelineLog.restore(
                        parts.store().disk(timeline, base.segmentSize()), base, restore.generation()));
                getContext().getLog().warn("timeline={} safekeeper={} begun again after a loss", timeline, id);
            } else if (open.isRestored() && open.view().promised() < restore.generation()) {
                open.promise(restore.generation());
            }
            asker.tell(new SafekeeperReply.Restored(id, timeline));
        } catch (IOException e) {
            asker.tell(trouble(restore.generation(), e));
        }
        return this;
    }

    private Behavior<Message> onDelete(SafekeeperCommand.Delete delete) {
        stopReceiver();
        stopFetch(new SafekeeperReply.UnknownTimeline(id, timeline));
        closeLog();
        try {
            parts.store().delete(timeline);
            getContext().getLog().info("timeline={} safekeeper={} deleted", timeline, id);
            failure = null;
            timers.cancel(Tick.REOPEN);
            // Not stopped at once: what is on its way here must find somebody who answers.
            timers.startSingleTimer(Tick.FORGET, FORGET_AFTER);
            delete.replyTo().tell(new SafekeeperReply.Deleted(id, timeline));
        } catch (IOException e) {
            delete.replyTo().tell(new SafekeeperReply.Failed(id, timeline, fail(e)));
        }
        return this;
    }

    // Promise and establish

    private Behavior<Message> onPromise(SafekeeperCommand.Promise promise) {
        ActorRef<SafekeeperReply> asker = promise.replyTo();
        TimelineLog open = logOrAnswer(asker);
        if (open == null) {
            return this;
        }
        if (open.isRestored()) {
            // What it had promised and held is lost: it has no say before it is established.
            asker.tell(new SafekeeperReply.UnknownTimeline(id, timeline));
            return this;
        }
        if (promise.generation() > open.view().promised()) {
            stopReceiver();
            stopFetch(new SafekeeperReply.Refused(id, timeline, generationOfFetch(), promise.generation()));
        }
        try {
            int before = open.view().promised();
            TimelineLog.View view = open.promise(promise.generation());
            if (before != view.promised()) {
                getContext()
                        .getLog()
                        .info(
                                "timeline={} safekeeper={} promised {} -> {}, flushed={}",
                                timeline,
                                id,
                                before,
                                view.promised(),
                                view.flushed());
            }
            asker.tell(new SafekeeperReply.Promised(
                    id, timeline, promise.generation(), view.history(), view.flushed(), parts.source()));
        } catch (IOException e) {
            asker.tell(trouble(promise.generation(), e));
        }
        return this;
    }

    private int generationOfFetch() {
        return establishing == null ? 0 : establishing.generation();
    }

    private Behavior<Message> onEstablish(SafekeeperCommand.Establish establish) {
        ActorRef<SafekeeperReply> asker = establish.replyTo();
        TimelineLog open = logOrAnswer(asker);
        if (open == null) {
            return this;
        }
        Establishing job = establishing;
        if (job != null
                && job.generation() == establish.generation()
                && job.end().equals(establish.end())) {
            if (!job.askers().contains(asker) && job.askers().size() < MOST_ASKERS) {
                job.askers().add(asker);
            }
            return this;
        }
        stopFetch(new SafekeeperReply.Failed(id, timeline, "another establish came"));
        try {
            Lsn from = open.establish(establish.generation(), establish.history(), establish.end());
            if (from.equals(establish.end())) {
                asker.tell(new SafekeeperReply.Established(id, timeline, establish.generation(), establish.end()));
            } else {
                fetch(open, establish, from);
            }
        } catch (IOException e) {
            asker.tell(trouble(establish.generation(), e));
        }
        return this;
    }

    private void fetch(TimelineLog open, SafekeeperCommand.Establish establish, Lsn from) {
        getContext()
                .getLog()
                .info(
                        "timeline={} safekeeper={} fetches {}..{} for generation={}",
                        timeline,
                        id,
                        from,
                        establish.end(),
                        establish.generation());
        WalFetch fetch = new WalFetch(timeline, parts.settings().identity(), id.value());
        Establishing job = new Establishing(
                establish.generation(), establish.end(), fetch, new ArrayList<>(List.of(establish.replyTo())));
        establishing = job;
        WalHistory history = establish.history();
        int generation = establish.generation();
        CompletableFuture<@Nullable Void> done = CompletableFuture.supplyAsync(
                () -> {
                    try {
                        fetch.fetch(
                                establish.donors(),
                                history,
                                from,
                                establish.end(),
                                (at, bytes) -> open.append(generation, at, bytes));
                        open.flush();
                        open.established(generation, establish.end());
                        return null;
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                },
                fetchExecutor);
        getContext().pipeToSelf(done, (nothing, trouble) -> new Fetched(job, trouble));
    }

    private Behavior<Message> onFetched(Fetched fetched) {
        Establishing job = fetched.job();
        if (!job.equals(establishing)) {
            return this;
        }
        establishing = null;
        Throwable trouble = fetched.trouble();
        SafekeeperReply reply;
        if (trouble == null) {
            changed();
            reply = new SafekeeperReply.Established(id, timeline, job.generation(), job.end());
        } else {
            reply = trouble(job.generation(), ioException(trouble));
        }
        job.askers().forEach(asker -> asker.tell(reply));
        return this;
    }

    private static IOException ioException(Throwable trouble) {
        for (Throwable cause = trouble; cause != null; cause = cause.getCause()) {
            if (cause instanceof IOException io) {
                return io;
            }
        }
        return new IOException(trouble);
    }

    private void stopFetch(SafekeeperReply reply) {
        Establishing job = establishing;
        if (job != null) {
            establishing = null;
            job.fetch().cancel();
            job.askers().forEach(asker -> asker.tell(reply));
        }
    }

    // Following a writer

    private Behavior<Message> onAttach(SafekeeperCommand.Attach attach) {
        ActorRef<SafekeeperReply> asker = attach.replyTo();
        TimelineLog open = logOrAnswer(asker);
        if (open == null) {
            return this;
        }
        int promised = open.view().promised();
        if (attach.generation() != promised) {
            asker.tell(new SafekeeperReply.Refused(id, timeline, attach.generation(), promised));
            return this;
        }
        if (!open.isEstablished(attach.generation())) {
            asker.tell(
                    new SafekeeperReply.Failed(id, timeline, "not established for generation " + attach.generation()));
            return this;
        }
        follower = asker;
        WalReceiver running = receiver;
        if (running == null
                || running.generation() != attach.generation()
                || !running.writer().equals(attach.writer())) {
            stopReceiver();
            follower = asker;
            WalReceiver next = new WalReceiver(
                    new WalReceiver.Self(id, parts.settings().identity()),
                    open,
                    attach.generation(),
                    attach.writer(),
                    attach.donors(),
                    this);
            receiver = next;
            next.start();
        } else {
            running.donors(attach.donors());
        }
        report();
        return this;
    }

    private Behavior<Message> onDetach(SafekeeperCommand.Detach detach) {
        WalReceiver running = receiver;
        detach.replyTo().tell(new SafekeeperReply.Detached(id, timeline, detach.generation()));
        if (running == null || running.generation() != detach.generation()) {
            return this;
        }
        stopReceiver();
        TimelineLog open = log;
        if (open != null) {
            try {
                open.rest();
                changed();
            } catch (IOException e) {
                trouble(detach.generation(), e);
            }
        }
        return this;
    }

    private void stopReceiver() {
        WalReceiver running = receiver;
        receiver = null;
        follower = null;
        following = false;
        timers.cancel(Tick.REPORT);
        if (running != null) {
            running.stop();
        }
    }

    @Override
    public void following(WalReceiver source, boolean up) {
        self.tell(new StreamChanged(source, up));
    }

    @Override
    public void progress(WalReceiver source) {
        if (progressTold.compareAndSet(false, true)) {
            self.tell(Tick.PROGRESS);
        }
    }

    @Override
    public void stranded(WalReceiver source, Lsn at) {
        self.tell(new Stranded(source, at));
    }

    @Override
    public void failed(WalReceiver source, LogFailedException reason) {
        self.tell(new ReceiverFailed(source, reason));
    }

    private Behavior<Message> onStreamChanged(StreamChanged changed) {
        if (changed.receiver() == receiver && following != changed.up()) {
            following = changed.up();
            report();
        }
        return this;
    }

    private Behavior<Message> onStranded(Stranded stranded) {
        ActorRef<SafekeeperReply> asker = follower;
        if (stranded.receiver() == receiver && asker != null) {
            asker.tell(new SafekeeperReply.Stranded(
                    id, timeline, stranded.receiver().generation(), stranded.at()));
        }
        return this;
    }

    private Behavior<Message> onReceiverFailed(ReceiverFailed failed) {
        if (failed.receiver() == receiver) {
            ActorRef<SafekeeperReply> asker = follower;
            String reason = fail(failed.reason());
            if (asker != null) {
                asker.tell(new SafekeeperReply.Failed(id, timeline, reason));
            }
        }
        return this;
    }

    private void onProgress() {
        progressTold.set(false);
        changed();
        if (!timers.isTimerActive(Tick.REPORT)) {
            report();
            timers.startSingleTimer(Tick.REPORT, REPORT_INTERVAL);
        }
    }

    private void changed() {
        ServedTimeline serving = served;
        if (serving != null) {
            serving.changed();
        }
    }

    private void report() {
        ActorRef<SafekeeperReply> asker = follower;
        TimelineLog open = log;
        if (asker != null && open != null) {
            asker.tell(position(open));
        }
    }

    private SafekeeperReply.Position position(TimelineLog open) {
        TimelineLog.View view = open.view();
        return new SafekeeperReply.Position(
                id, timeline, view.promised(), view.generation(), view.flushed(), following);
    }

    private Behavior<Message> onGetPosition(SafekeeperCommand.GetPosition get) {
        TimelineLog open = logOrAnswer(get.replyTo());
        if (open != null) {
            get.replyTo().tell(position(open));
        }
        return this;
    }

    private Behavior<Message> onQuorumPosition(SafekeeperCommand.QuorumPosition position) {
        TimelineLog open = log;
        ServedTimeline serving = served;
        if (open != null
                && serving != null
                && position.generation() == open.view().promised()
                && open.isEstablished(position.generation())) {
            serving.quorum(position.lsn());
            WalReceiver running = receiver;
            if (running != null && running.generation() == position.generation()) {
                running.quorum(position.lsn());
            }
        }
        return this;
    }

    private Behavior<Message> onPostStop() {
        boolean attached = receiver != null;
        stopReceiver();
        stopFetch(new SafekeeperReply.Failed(id, timeline, "the Safekeeper stops"));
        TimelineLog open = log;
        if (open != null && attached) {
            try {
                open.rest();
            } catch (IOException e) {
                getContext().getLog().warn("timeline={} safekeeper={} cannot rest: {}", timeline, id, e.getMessage());
            }
        }
        closeLog();
        return this;
    }
}
