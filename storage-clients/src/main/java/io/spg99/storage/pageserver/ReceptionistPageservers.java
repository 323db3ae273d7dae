package io.spg99.storage.pageserver;

import io.spg99.storage.wal.TimelineId;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.receptionist.Receptionist;
import org.apache.pekko.actor.typed.receptionist.ServiceKey;

/**
 * The Pageservers that the receptionist knows; timelines are spread over them. One instance serves a whole node: spawn
 * {@link #follow} once, for as long as the node lives.
 */
public final class ReceptionistPageservers implements PageserverDirectory {

    /** The key under which Pageservers register. */
    public static final ServiceKey<PageserverCommand> KEY =
            ServiceKey.create(PageserverCommand.class, "spg99-pageserver");

    private volatile List<ActorRef<PageserverCommand>> reachable = List.of();

    /** Keeps this directory up to date. */
    public Behavior<Receptionist.Listing> follow() {
        return Behaviors.setup(context -> {
            context.getSystem().receptionist().tell(Receptionist.subscribe(KEY, context.getSelf()));
            return Behaviors.receiveMessage(listing -> {
                reachable = List.copyOf(listing.getServiceInstances(KEY));
                return Behaviors.same();
            });
        });
    }

    @Override
    public Optional<ActorRef<PageserverCommand>> of(TimelineId timeline) {
        // Highest hash: when a Pageserver comes or goes only its own timelines move.
        return reachable.stream().max(Comparator.comparingInt(server -> hash(server, timeline)));
    }

    private static int hash(ActorRef<PageserverCommand> server, TimelineId timeline) {
        int mixed = (server.path().toString() + timeline).hashCode() * 0x9E3779B1;
        return mixed ^ (mixed >>> 15);
    }
}
