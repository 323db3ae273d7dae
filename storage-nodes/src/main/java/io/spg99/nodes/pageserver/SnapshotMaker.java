package io.spg99.nodes.pageserver;

import io.spg99.storage.snapshot.Manifest;
import java.io.IOException;
import java.util.Optional;

/** Port: what a Pageserver's actors have done for them. All methods block; an interrupt ends them soon. */
public interface SnapshotMaker {

    /**
     * Makes a snapshot at the newest checkpoint of the writers up to {@code job.end()}, and puts what can be put in order on the
     * way: the WAL's archive, old snapshots.
     *
     * @return the newest snapshot, which may be an older one if no checkpoint followed it; empty if there is none at all
     */
    Optional<Manifest> advance(RedoJob job) throws IOException;
}
