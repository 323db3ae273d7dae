package io.spg99.storage.safekeeper;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.receptionist.Receptionist;
import org.apache.pekko.actor.typed.receptionist.ServiceKey;

/**
 * The Safekeepers that the receptionist knows, on this node and in the cluster. One instance serves a whole node: spawn
 * {@link #follow} once, for as long as the node lives.
 */
public final class ReceptionistSafekeepers implements SafekeeperDirectory {

    private volatile Map<SafekeeperId, ActorRef<SafekeeperCommand>> reachable = Map.of();

    /** The key under which the Safekeeper of that id registers. */
    public static ServiceKey<SafekeeperCommand> key(SafekeeperId id) {
        return ServiceKey.create(SafekeeperCommand.class, "spg99-safekeeper-" + id);
    }

    /** Keeps this directory up to date. */
    public Behavior<Receptionist.Listing> follow() {
        return follow(reachable -> {});
    }

    /**
     * Keeps this directory up to date.
     *
     * @param changed told who can be reached whenever that changes; must not block
     */
    public Behavior<Receptionist.Listing> follow(Consumer<Set<SafekeeperId>> changed) {
        return Behaviors.setup(context -> {
            for (SafekeeperId id : SafekeeperId.ALL) {
                context.getSystem().receptionist().tell(Receptionist.subscribe(key(id), context.getSelf()));
            }
            return Behaviors.receiveMessage(listing -> {
                Set<SafekeeperId> before = reachable.keySet();
                onListing(listing);
                if (!before.equals(reachable.keySet())) {
                    changed.accept(new TreeSet<>(reachable.keySet()));
                }
                return Behaviors.same();
            });
        });
    }

    private void onListing(Receptionist.Listing listing) {
        Map<SafekeeperId, ActorRef<SafekeeperCommand>> next = new HashMap<>(reachable);
        for (SafekeeperId id : SafekeeperId.ALL) {
            if (listing.isForKey(key(id))) {
                // A restarted Safekeeper may be listed beside its old self for a moment: either will do, as everything
                // that is not answered is said again.
                listing.getServiceInstances(key(id)).stream()
                        .findFirst()
                        .ifPresentOrElse(instance -> next.put(id, instance), () -> next.remove(id));
            }
        }
        reachable = Map.copyOf(next);
    }

    @Override
    public Map<SafekeeperId, ActorRef<SafekeeperCommand>> reachable() {
        return reachable;
    }
}
