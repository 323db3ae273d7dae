package io.spg99.compute.generation;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;

/**
 * Stands for a generation that runs on another node: to its owner it is that generation, and the loss of the node is the
 * generation's end. When this is gone the other node ends what is left there, as soon as it can be told or notices.
 *
 * <pre>
 * it happens                         it does
 * a command                          the generation: the same, or what came before it has begun, then
 * an event                           owner: the same; stops after Ended
 * its node is gone                   owner: Ended
 * not begun, or not ended by Kill,   owner: Ended
 *   within a limit
 * </pre>
 */
final class RemoteGeneration extends AbstractBehavior<RemoteGeneration.Message> {

    private static final Duration BEGIN_LIMIT = Duration.ofSeconds(5);

    /** As long as a Database actor waits before it stops what it has killed. */
    private static final Duration KILL_LIMIT = Duration.ofSeconds(10);

    /** A Database actor says a few things at most before it has heard anything. */
    private static final int MAX_EARLY = 16;

    sealed interface Message {}

    private record Command(GenerationCommand command) implements Message {}

    private record Begun(ActorRef<GenerationCommand> generation) implements Message {}

    private record Said(GenerationEvent event) implements Message {}

    private enum Gone implements Message {
        INSTANCE
    }

    private enum Limit implements Message {
        BEGIN,
        KILL
    }

    private final int number;
    private final ActorRef<GenerationEvent> owner;
    private final TimerScheduler<Message> timers;
    private final ActorRef<GenerationHost.Begin> host;
    private final List<GenerationCommand> early = new ArrayList<>();
    private Optional<ActorRef<GenerationCommand>> generation = Optional.empty();

    /** Begins at once. */
    static Behavior<GenerationCommand> create(
            GenerationSpec spec, ActorRef<GenerationHost.Begin> host, ActorRef<GenerationEvent> owner) {
        Behavior<Message> remote = Behaviors.setup(
                context -> Behaviors.withTimers(timers -> new RemoteGeneration(context, timers, spec, host, owner)));
        return Behaviors.transformMessages(
                GenerationCommand.class, remote, matching -> matching.match(GenerationCommand.class, Command::new));
    }

    private RemoteGeneration(
            ActorContext<Message> context,
            TimerScheduler<Message> timers,
            GenerationSpec spec,
            ActorRef<GenerationHost.Begin> host,
            ActorRef<GenerationEvent> owner) {
        super(context);
        this.number = spec.generation();
        this.timers = timers;
        this.owner = owner;
        this.host = host;
        timers.startSingleTimer(Limit.BEGIN, Limit.BEGIN, BEGIN_LIMIT);
        host.tell(new GenerationHost.Begin(
                spec,
                context.messageAdapter(GenerationEvent.class, Said::new),
                context.messageAdapter(GenerationHost.Begun.class, begun -> new Begun(begun.generation()))));
        context.getLog()
                .info(
                        "database={} generation={} begins on another node: {}",
                        spec.databaseId(),
                        number,
                        host.path().address());
    }

    @Override
    public Receive<Message> createReceive() {
        return newReceiveBuilder().onMessage(Message.class, this::onMessage).build();
    }

    private Behavior<Message> onMessage(Message message) {
        return switch (message) {
            case Command command -> onCommand(command.command());
            case Begun begun -> onBegun(begun.generation());
            case Said said -> onEvent(said.event());
            case Gone gone -> ended("its node is gone");
            case Limit limit -> ended("its node does not answer");
        };
    }

    private Behavior<Message> onCommand(GenerationCommand command) {
        if (command == GenerationCommand.Kill.INSTANCE) {
            timers.startSingleTimer(Limit.KILL, Limit.KILL, KILL_LIMIT);
        }
        if (generation.isPresent()) {
            generation.get().tell(command);
        } else if (early.size() < MAX_EARLY) {
            early.add(command);
        } else {
            return ended("its node does not answer");
        }
        return this;
    }

    private Behavior<Message> onBegun(ActorRef<GenerationCommand> begun) {
        timers.cancel(Limit.BEGIN);
        generation = Optional.of(begun);
        getContext().watchWith(begun, Gone.INSTANCE);
        early.forEach(begun::tell);
        early.clear();
        return this;
    }

    private Behavior<Message> onEvent(GenerationEvent event) {
        owner.tell(event);
        return event instanceof GenerationEvent.Ended ? Behaviors.stopped() : this;
    }

    private Behavior<Message> ended(String reason) {
        return onEvent(new GenerationEvent.Ended(
                number, false, reason + ": node=" + host.path().address()));
    }
}
