package io.spg99.nodes.pageserver;

import io.spg99.storage.pageserver.PageserverCommand;
import io.spg99.storage.pageserver.PageserverReply;
import io.spg99.storage.pageserver.ReceptionistPageservers;
import io.spg99.storage.wal.TimelineId;
import java.time.Clock;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.PostStop;
import org.apache.pekko.actor.typed.Terminated;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.receptionist.Receptionist;

/**
 * One Pageserver: hands every command to the actor of its timeline. Registers with the receptionist under
 * {@link ReceptionistPageservers#KEY}. Child of whoever assembles the node. Keeps nothing that is not in object storage.
 */
public final class Pageserver extends AbstractBehavior<PageserverCommand> {

    /** Timelines that wait for a worker; each of them at most once. */
    private static final int MOST_WAITING = 100_000;

    private final PageserverSettings settings;
    private final SnapshotMaker maker;
    private final Clock clock;
    private final ThreadPoolExecutor workers;
    private final Map<TimelineId, ActorRef<PageserverTimeline.Message>> timelines = new HashMap<>();

    public static Behavior<PageserverCommand> create(PageserverSettings settings, SnapshotMaker maker, Clock clock) {
        return Behaviors.setup(context -> new Pageserver(context, settings, maker, clock));
    }

    private Pageserver(
            ActorContext<PageserverCommand> context, PageserverSettings settings, SnapshotMaker maker, Clock clock) {
        super(context);
        this.settings = settings;
        this.maker = maker;
        this.clock = clock;
        this.workers = workers(settings.workers());
        context.getSystem().receptionist().tell(Receptionist.register(ReceptionistPageservers.KEY, context.getSelf()));
        context.getLog().info("pageserver up: workers={}", settings.workers());
    }

    private static ThreadPoolExecutor workers(int count) {
        ThreadPoolExecutor threads = new ThreadPoolExecutor(
                count, count, 30, TimeUnit.SECONDS, new LinkedBlockingQueue<>(MOST_WAITING), background("redo"));
        threads.allowCoreThreadTimeOut(true);
        return threads;
    }

    /** Threads that let others run first, where the JVM may say so (Linux, as root): whoever serves clients on this node. */
    @SuppressWarnings("ThreadPriorityCheck") // nothing relies on it
    static ThreadFactory background(String name) {
        return Thread.ofPlatform()
                .daemon()
                .priority(Thread.MIN_PRIORITY)
                .name(name)
                .factory();
    }

    @Override
    public Receive<PageserverCommand> createReceive() {
        return newReceiveBuilder()
                .onMessage(PageserverCommand.class, this::onCommand)
                .onSignal(Terminated.class, this::onTerminated)
                .onSignal(PostStop.class, stop -> onPostStop())
                .build();
    }

    private Behavior<PageserverCommand> onCommand(PageserverCommand command) {
        ActorRef<PageserverTimeline.Message> timeline = timelines.get(command.timeline());
        switch (command) {
            case PageserverCommand.Advance advance ->
                (timeline == null ? spawn(advance.timeline()) : timeline).tell(new PageserverTimeline.Told(advance));
            case PageserverCommand.Forget forget -> {
                if (timeline == null) {
                    forget.replyTo().tell(new PageserverReply.Forgotten(forget.timeline()));
                } else {
                    timeline.tell(new PageserverTimeline.Told(forget));
                }
            }
        }
        return this;
    }

    private ActorRef<PageserverTimeline.Message> spawn(TimelineId timeline) {
        ExecutorService executor = workers;
        ActorRef<PageserverTimeline.Message> actor = getContext()
                .spawn(PageserverTimeline.create(timeline, settings, maker, executor, clock), "timeline-" + timeline);
        getContext().watch(actor);
        timelines.put(timeline, actor);
        return actor;
    }

    private Behavior<PageserverCommand> onTerminated(Terminated ended) {
        timelines.values().removeIf(actor -> actor.equals(ended.getRef().unsafeUpcast()));
        return this;
    }

    private Behavior<PageserverCommand> onPostStop() {
        workers.shutdownNow();
        getContext().getLog().info("pageserver down");
        return this;
    }
}
