package io.spg99.nodes.safekeeper;

import io.spg99.nodes.safekeeper.log.WalDisk;
import io.spg99.storage.thread.Threads;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.PostStop;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;
import org.jspecify.annotations.Nullable;

/**
 * One timeline on one Safekeeper. Child of {@link Safekeeper}; runs on a dispatcher of its own, where it may block for the
 * length of a sync. What it does is {@link TimelineProtocol}'s.
 */
final class SafekeeperTimeline extends AbstractBehavior<TimelineProtocol.Message> {

    private final TimelineProtocol protocol;

    static Behavior<TimelineProtocol.Message> create(TimelineId timeline, Safekeeper.Parts parts) {
        return Behaviors.setup(
                context -> Behaviors.withTimers(timers -> new SafekeeperTimeline(context, timers, timeline, parts)));
    }

    private SafekeeperTimeline(
            ActorContext<TimelineProtocol.Message> context,
            TimerScheduler<TimelineProtocol.Message> timers,
            TimelineId timeline,
            Safekeeper.Parts parts) {
        super(context);
        this.protocol = new TimelineProtocol(
                timeline,
                new TimelineProtocol.World(
                        parts.settings().id(),
                        parts.settings().identity(),
                        parts::source,
                        disks(timeline, parts.store()),
                        parts.served(),
                        parts.settings().connector(),
                        parts.settings().maxWal(),
                        Threads.JVM,
                        context.getSelf(),
                        timers,
                        context::getLog));
    }

    private static TimelineProtocol.Disks disks(TimelineId timeline, SafekeeperStore store) {
        return new TimelineProtocol.Disks() {
            @Override
            public @Nullable WalDisk existing() throws IOException {
                return store.existingDisk(timeline);
            }

            @Override
            public WalDisk create(int segmentSize) throws IOException {
                return store.disk(timeline, segmentSize);
            }

            @Override
            public void delete() throws IOException {
                store.delete(timeline);
            }
        };
    }

    @Override
    public Receive<TimelineProtocol.Message> createReceive() {
        return newReceiveBuilder()
                .onMessage(TimelineProtocol.Message.class, this::onMessage)
                .onSignal(PostStop.class, stop -> onPostStop())
                .build();
    }

    private Behavior<TimelineProtocol.Message> onMessage(TimelineProtocol.Message message) {
        return protocol.onMessage(message) ? this : Behaviors.stopped();
    }

    private Behavior<TimelineProtocol.Message> onPostStop() {
        protocol.stop();
        return this;
    }
}
