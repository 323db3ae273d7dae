package io.spg99.cluster.node;

import io.spg99.storage.safekeeper.SafekeeperCommand;
import io.spg99.storage.safekeeper.SafekeeperId;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.Terminated;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;
import org.apache.pekko.cluster.ClusterEvent;
import org.apache.pekko.cluster.Member;
import org.apache.pekko.cluster.UniqueAddress;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.Subscribe;

/**
 * Guardian of a process that is a Safekeeper and nothing else: parent of the Safekeeper, and watcher of the cluster. A
 * cluster of Safekeepers alone serves nobody, and those who began it may have begun another that knows nothing of this one;
 * so when nobody but Safekeepers has been reachable for {@link #LONELY_LIMIT}, this ends, and the ActorSystem with it.
 * Being downed ends the ActorSystem too. Whoever started it starts it again.
 *
 * <pre>
 * on                                       does
 * this member is up                        says so
 * other role joined or reachable again     stays
 * last other role removed or unreachable   begins to wait
 * waited for LONELY_LIMIT                  ends
 * the Safekeeper ended                     says so, ends
 * </pre>
 */
final class SafekeeperMember extends AbstractBehavior<SafekeeperMember.Message> {

    /** Longer than downing takes, so that a cluster that goes on is not left because of a short silence. */
    private static final Duration LONELY_LIMIT = Duration.ofSeconds(4);

    sealed interface Message {}

    private record MemberChanged(ClusterEvent.MemberEvent event) implements Message {}

    private record ReachabilityChanged(ClusterEvent.ReachabilityEvent event) implements Message {}

    private enum Lonely implements Message {
        INSTANCE
    }

    private final SafekeeperId id;
    private final TimerScheduler<Message> timers;
    private final Listener listener;
    private final UniqueAddress self;

    /** Reachable members of other roles than Safekeeper; empty before this member has joined. */
    private final Set<UniqueAddress> others = new HashSet<>();

    /** Told from an actor: must not block. */
    interface Listener {
        /** This process is a member of a cluster. */
        void joined();

        /** The Safekeeper ended, which it never does by itself unless something is broken. */
        void failed();
    }

    /** @param safekeeper behavior of the Safekeeper, its directory locked and its port bound */
    static Behavior<Message> create(SafekeeperId id, Behavior<SafekeeperCommand> safekeeper, Listener listener) {
        return Behaviors.setup(context ->
                Behaviors.withTimers(timers -> new SafekeeperMember(context, timers, id, safekeeper, listener)));
    }

    private SafekeeperMember(
            ActorContext<Message> context,
            TimerScheduler<Message> timers,
            SafekeeperId id,
            Behavior<SafekeeperCommand> safekeeper,
            Listener listener) {
        super(context);
        this.id = id;
        this.timers = timers;
        this.listener = listener;
        Cluster cluster = Cluster.get(context.getSystem());
        this.self = cluster.selfMember().uniqueAddress();
        ActorRef<SafekeeperCommand> child = context.spawn(safekeeper, "safekeeper-" + id);
        context.watch(child);
        cluster.subscriptions()
                .tell(Subscribe.create(
                        context.messageAdapter(ClusterEvent.MemberEvent.class, MemberChanged::new),
                        ClusterEvent.MemberEvent.class));
        cluster.subscriptions()
                .tell(Subscribe.create(
                        context.messageAdapter(ClusterEvent.ReachabilityEvent.class, ReachabilityChanged::new),
                        ClusterEvent.ReachabilityEvent.class));
    }

    @Override
    public Receive<Message> createReceive() {
        return newReceiveBuilder()
                .onMessage(Message.class, this::onMessage)
                .onSignal(Terminated.class, this::onSafekeeperEnded)
                .build();
    }

    private Behavior<Message> onMessage(Message message) {
        return switch (message) {
            case MemberChanged changed -> onMember(changed.event());
            case ReachabilityChanged changed -> onReachability(changed.event());
            case Lonely ignored -> onLonely();
        };
    }

    private Behavior<Message> onMember(ClusterEvent.MemberEvent event) {
        Member member = event.member();
        if (event instanceof ClusterEvent.MemberRemoved || event instanceof ClusterEvent.MemberDowned) {
            lost(member);
        } else if (event instanceof ClusterEvent.MemberUp) {
            seen(member);
            if (member.uniqueAddress().equals(self)) {
                getContext().getLog().info("safekeeper={} joined a cluster: self={}", id, member.address());
                listener.joined();
            }
        }
        return this;
    }

    private Behavior<Message> onReachability(ClusterEvent.ReachabilityEvent event) {
        if (event instanceof ClusterEvent.ReachableMember) {
            seen(event.member());
        } else {
            lost(event.member());
        }
        return this;
    }

    private void seen(Member member) {
        if (!member.getRoles().contains(Role.SAFEKEEPER.word())) {
            others.add(member.uniqueAddress());
            timers.cancel(Lonely.INSTANCE);
        }
    }

    private void lost(Member member) {
        if (others.remove(member.uniqueAddress()) && others.isEmpty()) {
            timers.startSingleTimer(Lonely.INSTANCE, Lonely.INSTANCE, LONELY_LIMIT);
        }
    }

    private Behavior<Message> onLonely() {
        getContext().getLog().info("safekeeper={} lost its cluster: only Safekeepers are left", id);
        return Behaviors.stopped();
    }

    private Behavior<Message> onSafekeeperEnded(Terminated ended) {
        getContext().getLog().error("safekeeper={} ended by itself", id);
        listener.failed();
        return Behaviors.stopped();
    }
}
