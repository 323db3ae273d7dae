package io.spg99.nodes.pageserver;

import io.spg99.storage.snapshot.Manifest;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.util.Optional;

/** Port: what a Pageserver's actors have done for them. All methods block; an interrupt ends them soon. */
public interface SnapshotMaker {

    /**
     * What there is of a timeline.
     *
     * @param newest      may be an older one if no checkpoint followed it; empty if there is none at all
     * @param storedBytes what object storage holds of the timeline, archived WAL included
     */
    record Result(Optional<Manifest> newest, long storedBytes) {}

    /** Makes a snapshot at the newest checkpoint of the writers up to {@code job.end()}, and archives their WAL on the way. */
    Result advance(RedoJob job) throws IOException;

    /**
     * Deletes what no snapshot needs any more, and has not for the retention time.
     *
     * @return whether there is more of it, which is not old enough yet, or is being read
     */
    boolean collect(TimelineId timeline) throws IOException;
}
