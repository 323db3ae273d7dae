package io.spg99.compute.generation;

import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.BiFunction;
import java.util.stream.Stream;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.BehaviorInterceptor;
import org.apache.pekko.actor.typed.PostStop;
import org.apache.pekko.actor.typed.Signal;
import org.apache.pekko.actor.typed.TypedActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.receptionist.Receptionist;

/**
 * Where the generations of a node's Database actors run: here, or on one of the nodes with a {@link GenerationHost}. Whoever waits
 * for a start waits for nothing else, so only candidates go elsewhere: to a node that is not the writer's, if there is one, and
 * of those to the one with the fewest generations of this node's actors. Where a candidate of the same writer has been
 * before, which came to nothing, the next one goes last. For any thread.
 */
public final class Placement
        implements BiFunction<GenerationSpec, ActorRef<GenerationEvent>, Behavior<GenerationCommand>> {

    /** @param host empty: here */
    private record Place(Optional<ActorRef<GenerationHost.Begin>> host) {
        static final Place HERE = new Place(Optional.empty());
    }

    private record Run(String databaseId, int generation) {}

    private final BiFunction<GenerationSpec, ActorRef<GenerationEvent>, Behavior<GenerationCommand>> here;

    /** Those that have not ended. */
    private final Map<Run, Place> running = new ConcurrentHashMap<>();

    /** By writer, until its end: where its candidates have been. */
    private final Map<Run, List<Place>> tried = new ConcurrentHashMap<>();

    private volatile List<Place> places = List.of(Place.HERE);

    /** @param here a generation on this node */
    public Placement(BiFunction<GenerationSpec, ActorRef<GenerationEvent>, Behavior<GenerationCommand>> here) {
        this.here = here;
    }

    /** Keeps the list of nodes up to date; to be spawned once. */
    public Behavior<Receptionist.Listing> follow() {
        return Behaviors.setup(context -> {
            context.getSystem().receptionist().tell(Receptionist.subscribe(GenerationHost.KEY, context.getSelf()));
            return Behaviors.receiveMessage(listing -> {
                places = Stream.concat(
                                listing.getServiceInstances(GenerationHost.KEY).stream()
                                        .map(host -> new Place(Optional.of(host))),
                                Stream.of(Place.HERE))
                        .toList();
                context.getLog().info("nodes with generations, this one included: {}", places.size());
                return Behaviors.same();
            });
        });
    }

    /** A generation at the place that is the best for it now. */
    @Override
    public Behavior<GenerationCommand> apply(GenerationSpec spec, ActorRef<GenerationEvent> owner) {
        Run run = new Run(spec.databaseId(), spec.generation());
        return Behaviors.setup(context -> {
            Place place = choose(spec);
            running.put(run, place);
            return Behaviors.intercept(
                    () -> new Forget(run),
                    place.host()
                            .map(host -> RemoteGeneration.create(spec, host, owner))
                            .orElseGet(() -> here.apply(spec, owner)));
        });
    }

    /** How many nodes there are, this one included. */
    int places() {
        return places.size();
    }

    private Place choose(GenerationSpec spec) {
        if (spec.writer().isEmpty()) {
            return Place.HERE;
        }
        Run writer = new Run(spec.databaseId(), spec.writer().getAsInt());
        Place writers = running.getOrDefault(writer, Place.HERE);
        List<Place> before = tried.computeIfAbsent(writer, key -> new CopyOnWriteArrayList<>());
        Place best = Collections.min(
                places,
                Comparator.<Place>comparingInt(place -> Collections.frequency(before, place))
                        .thenComparing(place -> place.equals(writers))
                        .thenComparingInt(place -> Collections.frequency(running.values(), place)));
        before.add(best);
        return best;
    }

    /** Takes a run from the list when its actor has ended, however that comes. */
    private final class Forget extends BehaviorInterceptor<GenerationCommand, GenerationCommand> {

        private final Run run;

        Forget(Run run) {
            super(GenerationCommand.class);
            this.run = run;
        }

        @Override
        public Behavior<GenerationCommand> aroundReceive(
                TypedActorContext<GenerationCommand> context,
                GenerationCommand message,
                ReceiveTarget<GenerationCommand> target) {
            return target.apply(context, message);
        }

        @Override
        public Behavior<GenerationCommand> aroundSignal(
                TypedActorContext<GenerationCommand> context, Signal signal, SignalTarget<GenerationCommand> target) {
            if (signal instanceof PostStop) {
                running.remove(run);
                tried.remove(run);
            }
            return target.apply(context, signal);
        }
    }
}
