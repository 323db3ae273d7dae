package io.spg99.cluster.node;

import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
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
 * Guardian of a process that is one part of the platform and nothing else, a Safekeeper for instance: parent of that part, and
 * watcher of the cluster. A cluster without Database actors serves nobody, and those who began it may have begun another that
 * knows nothing of this one; so when no node that has them has been reachable for {@link #LONELY_LIMIT}, this ends, and the
 * ActorSystem with it. Being downed ends the ActorSystem too. Whoever started it starts it again.
 *
 * <pre>
 * on                                                does
 * this member is up                                 says so
 * a node of role compute joined, or is back         stays
 * the last of them was removed, or is unreachable   begins to wait
 * waited for LONELY_LIMIT                           ends
 * the part ended                                    says so, ends
 * </pre>
 */
final class PartMember extends AbstractBehavior<PartMember.Message> {

    /** Longer than downing takes, so that a cluster that goes on is not left because of a short silence. */
    private static final Duration LONELY_LIMIT = Duration.ofSeconds(4);

    sealed interface Message {}

    private record MemberChanged(ClusterEvent.MemberEvent event) implements Message {}

    private record ReachabilityChanged(ClusterEvent.ReachabilityEvent event) implements Message {}

    private enum Lonely implements Message {
        INSTANCE
    }

    private final String name;
    private final TimerScheduler<Message> timers;
    private final Listener listener;
    private final UniqueAddress self;

    /** Reachable members with Database actors; none before this member has joined. */
    private final Set<UniqueAddress> others = new HashSet<>();

    /** Told from an actor: must not block. */
    interface Listener {
        /** This process is a member of a cluster. */
        void joined();

        /** The part ended, which it never does by itself unless something is broken. */
        void failed();
    }

    /**
     * @param name of the part, as users see it
     * @param part its directory locked and its ports bound
     */
    static Behavior<Message> create(String name, Behavior<?> part, Listener listener) {
        return Behaviors.setup(
                context -> Behaviors.withTimers(timers -> new PartMember(context, timers, name, part, listener)));
    }

    private PartMember(
            ActorContext<Message> context,
            TimerScheduler<Message> timers,
            String name,
            Behavior<?> part,
            Listener listener) {
        super(context);
        this.name = name;
        this.timers = timers;
        this.listener = listener;
        Cluster cluster = Cluster.get(context.getSystem());
        this.self = cluster.selfMember().uniqueAddress();
        context.watch(context.spawn(part, "part"));
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
                .onSignal(Terminated.class, this::onPartEnded)
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
                getContext().getLog().info("part={} joined a cluster: self={}", name, member.address());
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
        if (member.getRoles().contains(Role.COMPUTE.word())) {
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
        getContext().getLog().info("part={} lost its cluster: nobody with databases is left", name);
        return Behaviors.stopped();
    }

    private Behavior<Message> onPartEnded(Terminated ended) {
        getContext().getLog().error("part={} ended by itself", name);
        listener.failed();
        return Behaviors.stopped();
    }
}
