package io.spg99.storage.snapshot;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Deletes what no snapshot needs any more. The newest snapshot always stays, and so does what was made within the retention
 * time: a reader that has just found a manifest, and a writer that has not published its own yet, need their layers for
 * that long at most.
 */
public final class SnapshotRetention {

    private SnapshotRetention() {}

    /**
     * Blocks.
     *
     * @param nowMillis since 1970
     * @return names of the objects that were deleted
     */
    public static List<String> collect(SnapshotStore store, long nowMillis, Duration retention) throws IOException {
        long before = nowMillis - retention.toMillis();
        Set<String> used = new HashSet<>();
        List<String> superfluous = new ArrayList<>();
        // From the newest on: a manifest was in use until the next one was made.
        long replacedAt = Long.MAX_VALUE;
        for (String name : store.names().reversed()) {
            if (replacedAt < before) {
                superfluous.add(store.manifests() + name);
            } else {
                Manifest manifest = store.read(name);
                used.addAll(manifest.layerNames());
                replacedAt = manifest.madeAtMillis();
            }
        }
        String prefix = store.layers();
        for (String key : store.objects().list(prefix)) {
            String name = key.substring(prefix.length());
            if (Layer.isName(name) && !used.contains(name) && Layer.madeAtMillis(name) < before) {
                superfluous.add(key);
            }
        }
        // Manifests come first in the list: none is left that names a layer which is gone.
        for (String key : superfluous) {
            store.objects().delete(key);
        }
        return superfluous;
    }
}
