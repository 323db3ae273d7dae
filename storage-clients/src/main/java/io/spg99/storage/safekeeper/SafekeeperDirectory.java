package io.spg99.storage.safekeeper;

import java.util.Map;
import org.apache.pekko.actor.typed.ActorRef;

/** Port: the Safekeepers that can be reached now. Nothing durable rests on this being complete or right. */
@FunctionalInterface
public interface SafekeeperDirectory {
    Map<SafekeeperId, ActorRef<SafekeeperCommand>> reachable();
}
