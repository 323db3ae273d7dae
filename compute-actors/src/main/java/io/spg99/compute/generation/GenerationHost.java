package io.spg99.compute.generation;

import io.spg99.compute.ComputeMessage;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.receptionist.Receptionist;
import org.apache.pekko.actor.typed.receptionist.ServiceKey;

/**
 * Runs generations for Database actors of other nodes, each in a {@link HostedGeneration}; one per node, which registers with
 * the receptionist.
 */
public final class GenerationHost {

    public static final ServiceKey<Begin> KEY = ServiceKey.create(Begin.class, "spg99-generation-host");

    /**
     * Starts a generation, which ends with its owner. Answer: {@link Begun}.
     *
     * @param owner told everything that the generation says
     */
    public record Begin(GenerationSpec spec, ActorRef<GenerationEvent> owner, ActorRef<Begun> replyTo)
            implements ComputeMessage {}

    /** @param generation takes the owner's commands; gone when its node is */
    public record Begun(ActorRef<GenerationCommand> generation) implements ComputeMessage {}

    private GenerationHost() {}

    public static Behavior<Begin> create(ComputeNode node) {
        return Behaviors.setup(context -> {
            context.getSystem().receptionist().tell(Receptionist.register(KEY, context.getSelf()));
            return Behaviors.receiveMessage(begin -> {
                begin.replyTo()
                        .tell(new Begun(context.spawnAnonymous(HostedGeneration.create(
                                begin.spec().generation(),
                                owner -> ComputeGeneration.create(begin.spec(), node, owner),
                                begin.owner()))));
                return Behaviors.same();
            });
        });
    }
}
