package io.spg99.storage.quorum;

import io.spg99.storage.safekeeper.SafekeeperDirectory;
import io.spg99.storage.safekeeper.SafekeeperReply;
import io.spg99.storage.safekeeper.TimelineBase;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;

/**
 * Speaks for a timeline's three Safekeepers. Child of the Database actor, which restarts it by starting a new generation.
 * What it does is {@link QuorumProtocol}'s.
 */
public final class WalQuorum extends AbstractBehavior<QuorumCommand> {

    private record FromSafekeeper(SafekeeperReply reply) implements QuorumCommand.Private {}

    private final QuorumProtocol protocol;

    public static Behavior<QuorumCommand> create(
            TimelineBase base, SafekeeperDirectory safekeepers, WalQuorumSettings settings) {
        return Behaviors.setup(
                context -> Behaviors.withTimers(timers -> new WalQuorum(context, timers, base, safekeepers, settings)));
    }

    private WalQuorum(
            ActorContext<QuorumCommand> context,
            TimerScheduler<QuorumCommand> timers,
            TimelineBase base,
            SafekeeperDirectory safekeepers,
            WalQuorumSettings settings) {
        super(context);
        this.protocol = new QuorumProtocol(
                base,
                safekeepers,
                settings,
                timers,
                context.messageAdapter(SafekeeperReply.class, FromSafekeeper::new),
                context::getLog);
    }

    @Override
    public Receive<QuorumCommand> createReceive() {
        return newReceiveBuilder().onAnyMessage(this::onCommand).build();
    }

    private Behavior<QuorumCommand> onCommand(QuorumCommand command) {
        if (command instanceof FromSafekeeper from) {
            protocol.onReply(from.reply());
        } else {
            protocol.onCommand(command);
        }
        return this;
    }
}
