package io.spg99.lifecycle.database;

import io.spg99.lifecycle.model.Base;
import io.spg99.storage.wal.TimelineId;
import java.util.concurrent.CompletionStage;
import org.apache.pekko.Done;

/** Port: what a timeline has in object storage. Never blocks the caller. */
public interface TimelineStore {

    /**
     * Makes the beginning of a new timeline, with a system identifier of its own. Repeating it gives another beginning:
     * the caller writes down the one it uses.
     */
    CompletionStage<Base> make(TimelineId timeline);

    /** Removes all that belongs to this timeline alone; repeating it is harmless. */
    CompletionStage<Done> delete(TimelineId timeline);
}
