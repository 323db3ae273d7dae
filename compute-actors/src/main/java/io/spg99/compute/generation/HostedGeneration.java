package io.spg99.compute.generation;

import java.time.Duration;
import java.util.Optional;
import java.util.function.Function;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;

/**
 * Owns a generation in the name of a {@link RemoteGeneration} on another node, and does not outlive that one: nor does the
 * generation, with its processes and files. Messages between nodes may be lost; that an actor is gone is always noticed.
 *
 * <pre>
 * it happens                        it does
 * a command                         generation: the same
 * an event                          owner: the same; after Ended again and again
 * the generation is gone, unsaid    owner: Ended
 * the owner is gone, or its node    stops, and the generation with it
 * </pre>
 */
final class HostedGeneration extends AbstractBehavior<HostedGeneration.Message> {

    private static final Duration SAY_AGAIN = Duration.ofSeconds(1);

    sealed interface Message {}

    private record Command(GenerationCommand command) implements Message {}

    private record Said(GenerationEvent event) implements Message {}

    private enum GenerationGone implements Message {
        INSTANCE
    }

    private enum OwnerGone implements Message {
        INSTANCE
    }

    private enum Again implements Message {
        INSTANCE
    }

    private final int number;
    private final ActorRef<GenerationEvent> owner;
    private final TimerScheduler<Message> timers;
    private final ActorRef<GenerationCommand> generation;

    /** The last thing that it says. */
    private Optional<GenerationEvent.Ended> ended = Optional.empty();

    /** @param generation one that reports to the actor it is given */
    static Behavior<GenerationCommand> create(
            int number,
            Function<ActorRef<GenerationEvent>, Behavior<GenerationCommand>> generation,
            ActorRef<GenerationEvent> owner) {
        Behavior<Message> hosted = Behaviors.setup(context ->
                Behaviors.withTimers(timers -> new HostedGeneration(context, timers, number, generation, owner)));
        return Behaviors.transformMessages(
                GenerationCommand.class, hosted, matching -> matching.match(GenerationCommand.class, Command::new));
    }

    private HostedGeneration(
            ActorContext<Message> context,
            TimerScheduler<Message> timers,
            int number,
            Function<ActorRef<GenerationEvent>, Behavior<GenerationCommand>> generation,
            ActorRef<GenerationEvent> owner) {
        super(context);
        this.number = number;
        this.timers = timers;
        this.owner = owner;
        this.generation = context.spawn(
                generation.apply(context.messageAdapter(GenerationEvent.class, Said::new)), "generation-" + number);
        context.watchWith(this.generation, GenerationGone.INSTANCE);
        context.watchWith(owner, OwnerGone.INSTANCE);
    }

    @Override
    public Receive<Message> createReceive() {
        return newReceiveBuilder().onMessage(Message.class, this::onMessage).build();
    }

    private Behavior<Message> onMessage(Message message) {
        return switch (message) {
            case Command command -> onCommand(command.command());
            case Said said -> onEvent(said.event());
            case GenerationGone gone -> onGenerationGone();
            case OwnerGone gone -> onOwnerGone();
            case Again again -> onAgain();
        };
    }

    private Behavior<Message> onCommand(GenerationCommand command) {
        generation.tell(command);
        return this;
    }

    private Behavior<Message> onEvent(GenerationEvent event) {
        owner.tell(event);
        if (event instanceof GenerationEvent.Ended last) {
            ended = Optional.of(last);
            timers.startTimerWithFixedDelay(Again.INSTANCE, Again.INSTANCE, SAY_AGAIN);
        }
        return this;
    }

    private Behavior<Message> onGenerationGone() {
        return ended.isPresent()
                ? this
                : onEvent(new GenerationEvent.Ended(number, false, "the compute's actor stopped unexpectedly"));
    }

    private Behavior<Message> onAgain() {
        ended.ifPresent(owner::tell);
        return this;
    }

    private Behavior<Message> onOwnerGone() {
        if (ended.isEmpty()) {
            getContext().getLog().info("generation {} ends: its owner is gone, or its owner's node: {}", number, owner);
        }
        return Behaviors.stopped();
    }
}
