package io.spg99.storage.snapshot;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Deletes what no snapshot needs any more. The newest snapshot always stays, and so does what was made within the retention
 * time: a reader that has just found a manifest, and a writer that has not published its own yet, need their layers for
 * that long at most. A snapshot that a generation reads through stays as long as that generation says so; of one that was killed
 * that is until a later one has made a checkpoint.
 */
public final class SnapshotRetention {

    private static final Logger LOG = LoggerFactory.getLogger(SnapshotRetention.class);

    private SnapshotRetention() {}

    /**
     * @param deleted names of the objects that were deleted
     * @param more    whether there are others that will have to be, once they are old enough or nobody reads them
     */
    public record Collected(List<String> deleted, boolean more) {

        public Collected {
            deleted = List.copyOf(deleted);
        }
    }

    /**
     * Blocks. A manifest that is damaged is reported by name; as nobody knows which layers it needs, none is deleted as long as it stays.
     *
     * @param nowMillis since 1970
     */
    public static Collected collect(SnapshotStore store, long nowMillis, Duration retention) throws IOException {
        long before = nowMillis - retention.toMillis();
        Set<String> used = new HashSet<>();
        List<String> superfluous = new ArrayList<>();
        List<String> names = store.names();
        Set<String> held = held(store, names, superfluous);
        int kept = 0;
        boolean allRead = true;
        // From the newest on: a manifest was in use until the next one was made.
        long replacedAt = Long.MAX_VALUE;
        for (String name : names.reversed()) {
            if (replacedAt < before && !held.contains(name)) {
                superfluous.add(store.manifests() + name);
                continue;
            }
            kept++;
            try {
                Manifest manifest = store.read(name);
                used.addAll(manifest.layerNames());
                replacedAt = manifest.madeAtMillis();
            } catch (CorruptSnapshotException e) {
                LOG.error("no layers are deleted: timeline={}", store.timeline(), e);
                allRead = false;
            } catch (FileNotFoundException e) {
                LOG.debug("another Pageserver has deleted it: snapshot={}", name, e);
            }
        }
        boolean more = kept > 1;
        String prefix = store.layers();
        for (String key : store.objects().list(prefix)) {
            String name = key.substring(prefix.length());
            if (Layer.isName(name) && !used.contains(name)) {
                boolean goes = allRead && Layer.madeAtMillis(name) < before;
                more |= !goes;
                if (goes) {
                    superfluous.add(key);
                }
            }
        }
        // Manifests come first in the list: none is left that names a layer which is gone.
        for (String key : superfluous) {
            store.objects().delete(key);
        }
        return new Collected(superfluous, more);
    }

    /** Snapshots that are read; whose reader cannot run any more goes to {@code superfluous}. */
    private static Set<String> held(SnapshotStore store, List<String> names, List<String> superfluous)
            throws IOException {
        Set<String> held = new HashSet<>();
        // Names end with the generation that wrote the end.
        String newest =
                names.isEmpty() ? "" : names.getLast().substring(names.getLast().indexOf('-') + 1);
        for (String key : store.objects().list(store.holds())) {
            String name = key.substring(store.holds().length());
            int dash = name.indexOf('-');
            if (dash > 0 && name.substring(0, dash).compareTo(newest) >= 0) {
                held.add(name.substring(dash + 1));
            } else {
                superfluous.add(key);
            }
        }
        return held;
    }
}
