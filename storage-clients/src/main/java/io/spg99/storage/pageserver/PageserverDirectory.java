package io.spg99.storage.pageserver;

import io.spg99.storage.wal.TimelineId;
import java.util.Optional;
import org.apache.pekko.actor.typed.ActorRef;

/** Port: which Pageserver looks after a timeline now. That two of them do for a moment harms nothing. */
@FunctionalInterface
public interface PageserverDirectory {

    /** Empty if none can be reached. */
    Optional<ActorRef<PageserverCommand>> of(TimelineId timeline);
}
