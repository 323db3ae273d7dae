package io.spg99.nodes.safekeeper;

import io.spg99.nodes.safekeeper.log.LogFailedException;
import io.spg99.nodes.safekeeper.log.SupersededException;
import io.spg99.nodes.safekeeper.log.TimelineLog;
import io.spg99.nodes.safekeeper.log.WalDisk;
import io.spg99.nodes.safekeeper.receive.WalReceiver;
import io.spg99.nodes.safekeeper.serve.ServedTimeline;
import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.safekeeper.SafekeeperCommand;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.SafekeeperReply;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.thread.Threads;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;

/**
 * Every decision of {@link SafekeeperTimeline}, apart from the actor, so that a simulation can run it: one timeline on one
 * Safekeeper, which takes its commands strictly in order and answers what the log has made durable. For one thread, which
 * it may block for the length of a sync. Fetching from a peer and following a writer have threads of their own, so that a
 * promise never waits for them.
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
public final class TimelineProtocol implements WalReceiver.Listener {

    public sealed interface Message {}

    /** A command from outside. */
    public record Told(SafekeeperCommand command) implements Message {}

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

    /** The timeline's disk. */
    public interface Disks {

        /** Null if the timeline was never begun here. */
        @Nullable
        WalDisk existing() throws IOException;

        WalDisk create(int segmentSize) throws IOException;

        void delete() throws IOException;
    }

    /**
     * The world around it.
     *
     * @param source where the WAL is served
     * @param served what the WAL server finds; entered and removed here
     * @param maxWal bytes of WAL at which no more is taken from a writer, see {@link TimelineLog#isFull}
     * @param self   leads to {@link #onMessage}; told from other threads
     * @param log    for the caller's thread only
     */
    public record World(
            SafekeeperId id,
            TlsIdentity identity,
            Supplier<WalSource> source,
            Disks disks,
            Map<TimelineId, ServedTimeline> served,
            ReplicationConnection.Connector connector,
            long maxWal,
            Threads threads,
            ActorRef<Message> self,
            TimerScheduler<Message> timers,
            Supplier<Logger> log) {}

    /** Time between two reports of positions; the writer itself is told at once, on its own connection. */
    private static final Duration REPORT_INTERVAL = Duration.ofMillis(100);

    /** A disk that failed is not tried again at once. */
    private static final Duration REOPEN_AFTER = Duration.ofSeconds(2);

    private static final Duration FORGET_AFTER = Duration.ofMinutes(1);

    private static final int MOST_ASKERS = 16;

    private final TimelineId timeline;
    private final World world;
    private final SafekeeperId id;
    private final TimerScheduler<Message> timers;

    /** For other threads. */
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

    /** A PROGRESS was sent, and the REPORT after it did not come yet. */
    private final AtomicBoolean progressTold = new AtomicBoolean();

    /** Opens what is on the disk. */
    public TimelineProtocol(TimelineId timeline, World world) {
        this.timeline = timeline;
        this.world = world;
        this.id = world.id();
        this.timers = world.timers();
        this.self = world.self();
        open();
    }

    /** @return false once nobody needs it any more */
    public boolean onMessage(Message message) {
        switch (message) {
            case Told told -> onCommand(told.command());
            case Tick tick -> {
                return onTick(tick);
            }
            case Fetched fetched -> onFetched(fetched);
            case StreamChanged changed -> onStreamChanged(changed);
            case Stranded stranded -> onStranded(stranded);
            case ReceiverFailed failed -> onReceiverFailed(failed);
        }
        return true;
    }

    private void onCommand(SafekeeperCommand command) {
        switch (command) {
            case SafekeeperCommand.Create create -> onCreate(create);
            case SafekeeperCommand.Restore restore -> onRestore(restore);
            case SafekeeperCommand.Promise promise -> onPromise(promise);
            case SafekeeperCommand.Establish establish -> onEstablish(establish);
            case SafekeeperCommand.Attach attach -> onAttach(attach);
            case SafekeeperCommand.Detach detach -> onDetach(detach);
            case SafekeeperCommand.QuorumPosition position -> onQuorumPosition(position);
            case SafekeeperCommand.Trim trim -> onTrim(trim);
            case SafekeeperCommand.GetPosition get -> onGetPosition(get);
            case SafekeeperCommand.Delete delete -> onDelete(delete);
        }
    }

    private boolean onTick(Tick tick) {
        switch (tick) {
            case PROGRESS -> onProgress();
            case REPORT -> onReport();
            case REOPEN -> open();
            case FORGET -> {
                return log != null || failure != null;
            }
        }
        return true;
    }

    // Opening and failing

    private void open() {
        try {
            WalDisk disk = world.disks().existing();
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
        world.served().put(timeline, next);
        TimelineLog.View view = opened.view();
        world.log()
                .get()
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
            world.log().get().error("timeline={} safekeeper={} failed, is opened anew later: {}", timeline, id, reason);
        }
        stopReceiver();
        stopFetch(new SafekeeperReply.Failed(id, timeline, reason));
        closeLog();
        failure = reason;
        timers.startSingleTimer(Tick.REOPEN, REOPEN_AFTER);
        return reason;
    }

    private void closeLog() {
        world.served().remove(timeline);
        served = null;
        TimelineLog open = log;
        log = null;
        if (open != null) {
            try {
                open.close();
            } catch (IOException e) {
                world.log().get().warn("timeline={} safekeeper={} cannot close: {}", timeline, id, e.toString());
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
        world.log().get().warn("timeline={} safekeeper={} cannot: {}", timeline, id, trouble.getMessage());
        return new SafekeeperReply.Failed(id, timeline, String.valueOf(trouble.getMessage()));
    }

    // Beginning and end

    private void onCreate(SafekeeperCommand.Create create) {
        ActorRef<SafekeeperReply> asker = create.replyTo();
        if (failure != null) {
            logOrAnswer(asker);
            return;
        }
        try {
            TimelineLog open = log;
            if (open == null) {
                TimelineBase base = create.base();
                opened(TimelineLog.create(world.disks().create(base.segmentSize()), base));
            } else if (open.base().systemIdentifier() != create.base().systemIdentifier()) {
                asker.tell(new SafekeeperReply.Failed(id, timeline, "another timeline of that id exists"));
                return;
            }
            asker.tell(new SafekeeperReply.Created(id, timeline));
        } catch (IOException e) {
            asker.tell(trouble(TimelineBase.CREATION, e));
        }
    }

    private void onRestore(SafekeeperCommand.Restore restore) {
        ActorRef<SafekeeperReply> asker = restore.replyTo();
        if (failure != null) {
            logOrAnswer(asker);
            return;
        }
        try {
            TimelineLog open = log;
            if (open == null) {
                TimelineBase base = restore.base();
                opened(TimelineLog.restore(world.disks().create(base.segmentSize()), base, restore.generation()));
                world.log().get().warn("timeline={} safekeeper={} begun again after a loss", timeline, id);
            } else {
                if (restore.had()) {
                    open.disown();
                }
                if (open.isRestored() && open.view().promised() < restore.generation()) {
                    open.promise(restore.generation());
                }
            }
            asker.tell(new SafekeeperReply.Restored(id, timeline, world.source().get()));
        } catch (IOException e) {
            asker.tell(trouble(restore.generation(), e));
        }
    }

    private void onDelete(SafekeeperCommand.Delete delete) {
        stopReceiver();
        stopFetch(new SafekeeperReply.UnknownTimeline(id, timeline));
        closeLog();
        try {
            world.disks().delete();
            world.log().get().info("timeline={} safekeeper={} deleted", timeline, id);
            failure = null;
            timers.cancel(Tick.REOPEN);
            // Not stopped at once: what is on its way here must find somebody who answers.
            timers.startSingleTimer(Tick.FORGET, FORGET_AFTER);
            delete.replyTo().tell(new SafekeeperReply.Deleted(id, timeline));
        } catch (IOException e) {
            delete.replyTo().tell(new SafekeeperReply.Failed(id, timeline, fail(e)));
        }
    }

    // Promise and establish

    private void onPromise(SafekeeperCommand.Promise promise) {
        ActorRef<SafekeeperReply> asker = promise.replyTo();
        TimelineLog open = logOrAnswer(asker);
        if (open == null) {
            return;
        }
        if (open.isRestored()) {
            // What it had promised and held is lost: it has no say before that is there again.
            asker.tell(new SafekeeperReply.UnknownTimeline(id, timeline));
            return;
        }
        if (promise.generation() > open.view().promised()) {
            stopReceiver();
            stopFetch(new SafekeeperReply.Refused(id, timeline, generationOfFetch(), promise.generation()));
        }
        try {
            int before = open.view().promised();
            TimelineLog.View view = open.promise(promise.generation());
            if (before != view.promised()) {
                world.log()
                        .get()
                        .info(
                                "timeline={} safekeeper={} promised {} -> {}, flushed={}",
                                timeline,
                                id,
                                before,
                                view.promised(),
                                view.flushed());
            }
            asker.tell(new SafekeeperReply.Promised(
                    id,
                    timeline,
                    promise.generation(),
                    view.established(),
                    view.history(),
                    view.flushed(),
                    view.horizon(),
                    world.source().get()));
        } catch (IOException e) {
            asker.tell(trouble(promise.generation(), e));
        }
    }

    private int generationOfFetch() {
        return establishing == null ? 0 : establishing.generation();
    }

    private void onEstablish(SafekeeperCommand.Establish establish) {
        ActorRef<SafekeeperReply> asker = establish.replyTo();
        TimelineLog open = logOrAnswer(asker);
        if (open == null) {
            return;
        }
        Establishing job = establishing;
        if (job != null
                && job.generation() == establish.generation()
                && job.end().equals(establish.end())) {
            if (!job.askers().contains(asker) && job.askers().size() < MOST_ASKERS) {
                job.askers().add(asker);
            }
            return;
        }
        stopFetch(new SafekeeperReply.Failed(id, timeline, "another establish came"));
        try {
            Lsn from =
                    open.establish(establish.generation(), establish.history(), establish.end(), establish.horizon());
            if (from.equals(establish.end())) {
                asker.tell(new SafekeeperReply.Established(id, timeline, establish.generation(), establish.end()));
            } else {
                fetch(open, establish, from);
            }
        } catch (IOException e) {
            asker.tell(trouble(establish.generation(), e));
        }
    }

    private void fetch(TimelineLog open, SafekeeperCommand.Establish establish, Lsn from) {
        world.log()
                .get()
                .info(
                        "timeline={} safekeeper={} fetches {}..{} for generation={}",
                        timeline,
                        id,
                        from,
                        establish.end(),
                        establish.generation());
        WalFetch fetch = new WalFetch(timeline, world.identity(), id.value(), world.connector(), world.threads());
        Establishing job = new Establishing(
                establish.generation(), establish.end(), fetch, new ArrayList<>(List.of(establish.replyTo())));
        establishing = job;
        WalHistory history = establish.history();
        int generation = establish.generation();
        world.threads().start("spg99-" + id + "-fetch-" + timeline, () -> {
            Throwable trouble = null;
            try {
                fetch.fetch(
                        establish.donors(),
                        history,
                        from,
                        establish.end(),
                        (at, bytes) -> open.append(generation, at, bytes));
                open.flush();
                open.established(generation, establish.end());
            } catch (IOException | RuntimeException e) {
                trouble = e;
            }
            self.tell(new Fetched(job, trouble));
        });
    }

    private void onFetched(Fetched fetched) {
        Establishing job = fetched.job();
        if (!job.equals(establishing)) {
            return;
        }
        establishing = null;
        Throwable trouble = fetched.trouble();
        SafekeeperReply reply;
        if (trouble == null) {
            changed();
            reply = new SafekeeperReply.Established(id, timeline, job.generation(), job.end());
        } else {
            reply = trouble(job.generation(), trouble instanceof IOException io ? io : new IOException(trouble));
        }
        job.askers().forEach(asker -> asker.tell(reply));
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

    private void onAttach(SafekeeperCommand.Attach attach) {
        ActorRef<SafekeeperReply> asker = attach.replyTo();
        TimelineLog open = logOrAnswer(asker);
        if (open == null) {
            return;
        }
        int promised = open.view().promised();
        if (attach.generation() != promised) {
            asker.tell(new SafekeeperReply.Refused(id, timeline, attach.generation(), promised));
            return;
        }
        if (!open.isEstablished(attach.generation())) {
            asker.tell(
                    new SafekeeperReply.Failed(id, timeline, "not established for generation " + attach.generation()));
            return;
        }
        follower = asker;
        WalReceiver running = receiver;
        if (running == null
                || running.generation() != attach.generation()
                || !running.writer().equals(attach.writer())) {
            stopReceiver();
            follower = asker;
            WalReceiver next = new WalReceiver(
                    new WalReceiver.Self(id, world.identity()),
                    open,
                    attach.generation(),
                    attach.writer(),
                    attach.donors(),
                    this,
                    world.connector(),
                    world.threads(),
                    world.maxWal());
            receiver = next;
            next.start();
        } else {
            running.donors(attach.donors());
        }
        report();
    }

    private void onDetach(SafekeeperCommand.Detach detach) {
        WalReceiver running = receiver;
        detach.replyTo().tell(new SafekeeperReply.Detached(id, timeline, detach.generation()));
        if (running == null || running.generation() != detach.generation()) {
            return;
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
    }

    private void stopReceiver() {
        WalReceiver running = receiver;
        receiver = null;
        follower = null;
        following = false;
        timers.cancel(Tick.REPORT);
        progressTold.set(false);
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

    private void onStreamChanged(StreamChanged changed) {
        if (changed.receiver() == receiver && following != changed.up()) {
            following = changed.up();
            report();
        }
    }

    private void onStranded(Stranded stranded) {
        ActorRef<SafekeeperReply> asker = follower;
        if (stranded.receiver() == receiver && asker != null) {
            asker.tell(new SafekeeperReply.Stranded(
                    id, timeline, stranded.receiver().generation(), stranded.at()));
        }
    }

    private void onReceiverFailed(ReceiverFailed failed) {
        if (failed.receiver() == receiver) {
            ActorRef<SafekeeperReply> asker = follower;
            String reason = fail(failed.reason());
            if (asker != null) {
                asker.tell(new SafekeeperReply.Failed(id, timeline, reason));
            }
        }
    }

    /** What comes until the next report is not told: that would be a message for every commit. */
    private void onProgress() {
        changed();
        report();
        timers.startSingleTimer(Tick.REPORT, REPORT_INTERVAL);
    }

    private void onReport() {
        progressTold.set(false);
        changed();
        report();
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
                id,
                timeline,
                view.promised(),
                view.generation(),
                view.flushed(),
                following,
                following && open.isFull(world.maxWal()));
    }

    private void onGetPosition(SafekeeperCommand.GetPosition get) {
        TimelineLog open = logOrAnswer(get.replyTo());
        if (open != null) {
            get.replyTo().tell(position(open));
        }
    }

    private void onQuorumPosition(SafekeeperCommand.QuorumPosition position) {
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
    }

    private void onTrim(SafekeeperCommand.Trim trim) {
        TimelineLog open = log;
        if (open == null || trim.generation() != open.view().promised()) {
            return;
        }
        try {
            Lsn before = open.view().horizon();
            Lsn after = open.trim(trim.generation(), trim.horizon());
            if (after.isAfter(before)) {
                world.log().get().info("timeline={} safekeeper={} removed WAL {}..{}", timeline, id, before, after);
            }
        } catch (IOException e) {
            trouble(trim.generation(), e);
        }
    }

    /** The Safekeeper stops: the log rests, if a writer was being followed. */
    public void stop() {
        boolean attached = receiver != null;
        stopReceiver();
        stopFetch(new SafekeeperReply.Failed(id, timeline, "the Safekeeper stops"));
        TimelineLog open = log;
        if (open != null && attached) {
            try {
                open.rest();
            } catch (IOException e) {
                world.log().get().warn("timeline={} safekeeper={} cannot rest: {}", timeline, id, e.getMessage());
            }
        }
        closeLog();
    }
}
