package io.spg99.nodes.safekeeper;

import io.spg99.nodes.safekeeper.serve.ServedTimeline;
import io.spg99.nodes.safekeeper.serve.WalServer;
import io.spg99.storage.safekeeper.ReceptionistSafekeepers;
import io.spg99.storage.safekeeper.SafekeeperCommand;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.SafekeeperReply;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.DispatcherSelector;
import org.apache.pekko.actor.typed.PostStop;
import org.apache.pekko.actor.typed.Terminated;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.receptionist.Receptionist;

/**
 * One Safekeeper: hands every command to the actor of its timeline, in order, and answers for timelines it does not have.
 * Registers with the receptionist under {@link ReceptionistSafekeepers#key}. Child of whoever assembles the node, which
 * is to end when this actor does; timelines are its children and never end but when they are deleted.
 */
public final class Safekeeper extends AbstractBehavior<SafekeeperCommand> {

    /** Name of the Unix socket in a Safekeeper's directory; it stays there when the process is killed. */
    public static final String SOCKET = "wal.sock";

    static final String TIMELINE_DISPATCHER = "spg99.safekeeper.timeline-dispatcher";

    private final SafekeeperId id;
    private final Parts parts;
    private final Map<TimelineId, ActorRef<TimelineProtocol.Message>> timelines = new HashMap<>();

    /** What a Safekeeper's timelines share. */
    record Parts(
            SafekeeperSettings settings,
            SafekeeperStore store,
            WalServer server,
            Map<TimelineId, ServedTimeline> served) {

        WalSource source() {
            return new WalSource(
                    settings.id(),
                    settings.publicHost(),
                    server.port(),
                    server.socket().map(Path::toString).orElse(null));
        }

        void close() throws IOException {
            server.close();
            store.close();
        }
    }

    /**
     * Locks the directory and binds the WAL server, both released when the behavior stops. Blocks; to be called once per
     * start, not for a restart by supervision.
     *
     * @throws IOException what is wrong with the directory, its other user, or the address
     */
    public static Behavior<SafekeeperCommand> create(SafekeeperSettings settings) throws IOException {
        SafekeeperStore store = SafekeeperStore.open(settings.directory());
        try {
            Map<TimelineId, ServedTimeline> served = new ConcurrentHashMap<>();
            List<TimelineId> known = store.timelines();
            WalServer server = WalServer.bind(
                    settings.bindHost(),
                    settings.port(),
                    Optional.of(settings.directory().resolve(SOCKET).toAbsolutePath()),
                    settings.identity(),
                    timeline -> Optional.ofNullable(served.get(timeline)));
            Parts parts = new Parts(settings, store, server, served);
            return Behaviors.setup(context -> new Safekeeper(context, parts, known));
        } catch (IOException | RuntimeException e) {
            store.close();
            throw e;
        }
    }

    private Safekeeper(ActorContext<SafekeeperCommand> context, Parts parts, List<TimelineId> known) {
        super(context);
        this.id = parts.settings().id();
        this.parts = parts;
        known.forEach(this::spawn);
        context.getSystem()
                .receptionist()
                .tell(Receptionist.register(ReceptionistSafekeepers.key(id), context.getSelf()));
        context.getLog()
                .info(
                        "safekeeper={} up: timelines={} wal={}:{}",
                        id,
                        known.size(),
                        parts.source().host(),
                        parts.source().port());
    }

    @Override
    public Receive<SafekeeperCommand> createReceive() {
        return newReceiveBuilder()
                .onMessage(SafekeeperCommand.class, this::onCommand)
                .onSignal(Terminated.class, this::onTerminated)
                .onSignal(PostStop.class, stop -> onPostStop())
                .build();
    }

    private Behavior<SafekeeperCommand> onCommand(SafekeeperCommand command) {
        ActorRef<TimelineProtocol.Message> timeline = timelines.get(command.timeline());
        if (timeline != null) {
            timeline.tell(new TimelineProtocol.Told(command));
        } else {
            onUnknown(command);
        }
        return this;
    }

    private void onUnknown(SafekeeperCommand command) {
        SafekeeperReply unknown = new SafekeeperReply.UnknownTimeline(id, command.timeline());
        switch (command) {
            case SafekeeperCommand.Create create -> spawn(create.timeline()).tell(new TimelineProtocol.Told(create));
            case SafekeeperCommand.Restore restore ->
                spawn(restore.timeline()).tell(new TimelineProtocol.Told(restore));
            case SafekeeperCommand.Promise promise -> promise.replyTo().tell(unknown);
            case SafekeeperCommand.Establish establish -> establish.replyTo().tell(unknown);
            case SafekeeperCommand.Attach attach -> attach.replyTo().tell(unknown);
            case SafekeeperCommand.GetPosition get -> get.replyTo().tell(unknown);
            case SafekeeperCommand.QuorumPosition ignored -> {}
            case SafekeeperCommand.Trim ignored -> {}
            case SafekeeperCommand.Detach detach ->
                detach.replyTo().tell(new SafekeeperReply.Detached(id, detach.timeline(), detach.generation()));
            case SafekeeperCommand.Delete delete ->
                delete.replyTo().tell(new SafekeeperReply.Deleted(id, delete.timeline()));
        }
    }

    private ActorRef<TimelineProtocol.Message> spawn(TimelineId timeline) {
        ActorRef<TimelineProtocol.Message> actor = getContext()
                .spawn(
                        SafekeeperTimeline.create(timeline, parts),
                        "timeline-" + timeline,
                        DispatcherSelector.fromConfig(TIMELINE_DISPATCHER));
        getContext().watch(actor);
        timelines.put(timeline, actor);
        return actor;
    }

    private Behavior<SafekeeperCommand> onTerminated(Terminated ended) {
        timelines.values().removeIf(actor -> actor.equals(ended.getRef().unsafeUpcast()));
        return this;
    }

    private Behavior<SafekeeperCommand> onPostStop() throws IOException {
        parts.close();
        getContext().getLog().info("safekeeper={} down", id);
        return this;
    }
}
