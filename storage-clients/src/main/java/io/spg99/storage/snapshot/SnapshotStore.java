package io.spg99.storage.snapshot;

import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * One timeline's snapshots in object storage. All methods block.
 *
 * <pre>
 * timelines/&lt;id&gt;/snapshots/&lt;end&gt;-&lt;generation&gt;   manifests; the last name is the newest
 * timelines/&lt;id&gt;/layers/&lt;made at&gt;-&lt;random&gt;        layers, of use once a manifest names them
 * timelines/&lt;id&gt;/held/&lt;generation&gt;-&lt;end&gt;-&lt;generation&gt;   a generation that reads a snapshot, and which
 * </pre>
 *
 * Only WAL that two Safekeepers have becomes part of a snapshot: each of them is in every later generation's history.
 */
public final class SnapshotStore {

    private static final Pattern NAME = Pattern.compile("([0-9A-F]{16})-([0-9A-F]{8})");

    private final ObjectStore objects;
    private final TimelineId timeline;

    public SnapshotStore(ObjectStore objects, TimelineId timeline) {
        this.objects = objects;
        this.timeline = timeline;
    }

    ObjectStore objects() {
        return objects;
    }

    TimelineId timeline() {
        return timeline;
    }

    /**
     * The newest snapshot; empty if there is none yet.
     *
     * @throws CorruptSnapshotException if its manifest is damaged
     */
    public Optional<Manifest> newest() throws IOException {
        List<String> names = names();
        return names.isEmpty() ? Optional.empty() : Optional.of(read(names.getLast()));
    }

    /** The newest snapshot that ends at or before {@code end}; empty if there is none. */
    public Optional<Manifest> newestUpTo(Lsn end) throws IOException {
        for (String name : names().reversed()) {
            if (!endOf(name).isAfter(end)) {
                return Optional.of(read(name));
            }
        }
        return Optional.empty();
    }

    /** Names of all manifests, oldest first. */
    List<String> names() throws IOException {
        String prefix = manifests();
        return objects.list(prefix).stream()
                .map(key -> key.substring(prefix.length()))
                .filter(name -> NAME.matcher(name).matches())
                .toList();
    }

    private static Lsn endOf(String name) {
        Matcher parts = NAME.matcher(name);
        if (!parts.matches()) {
            throw new IllegalArgumentException("not a manifest's name: name=" + name);
        }
        return new Lsn(Long.parseUnsignedLong(parts.group(1), 16));
    }

    Manifest read(String name) throws IOException {
        String key = manifests() + name;
        byte[] bytes;
        try (InputStream in = objects.open(key)) {
            bytes = in.readAllBytes();
        }
        Manifest manifest = ManifestCodec.decode(key, bytes);
        if (!manifest.timeline().equals(timeline) || !name(manifest).equals(name)) {
            throw new CorruptSnapshotException(
                    key, "it is that of timeline=" + manifest.timeline() + " name=" + name(manifest));
        }
        return manifest;
    }

    /**
     * Makes a snapshot real, at once or not at all. Its layers must be there already.
     *
     * @return false if there is a snapshot of that end already; that one stays
     * @throws IOException if a layer is not there: another Pageserver has made newer snapshots meanwhile, and deleted it
     */
    public boolean publish(Manifest manifest) throws IOException {
        Set<String> there = new HashSet<>(objects.list(layers()));
        for (String layer : manifest.layerNames()) {
            if (!there.contains(layerKey(layer))) {
                throw new FileNotFoundException("layer was deleted before its snapshot was published: object="
                        + layerKey(layer) + " snapshot=" + name(manifest));
            }
        }
        return objects.putIfAbsent(manifests() + name(manifest), ManifestCodec.encode(manifest));
    }

    /** A generation reads this snapshot: none of its objects is deleted until {@link #release}, or the generation is long over. */
    public void hold(int generation, Manifest manifest) throws IOException {
        objects.putIfAbsent(held(generation, manifest), new byte[0]);
    }

    /** Whether a snapshot was not deleted yet, with its whole timeline for instance. */
    public boolean has(Manifest manifest) throws IOException {
        return objects.exists(manifests() + name(manifest));
    }

    /** The generation has ended. */
    public void release(int generation, Manifest manifest) throws IOException {
        objects.delete(held(generation, manifest));
    }

    /** All that object storage holds of the timeline, snapshots and archived WAL above all: bytes. */
    public long storedBytes() throws IOException {
        return objects.size("timelines/" + timeline + "/");
    }

    private String held(int generation, Manifest manifest) {
        return holds() + "%08X-".formatted(generation) + name(manifest);
    }

    String holds() {
        return "timelines/" + timeline + "/held/";
    }

    /** Its name is random: an object that is there already is this one, put by an attempt whose answer was lost. */
    void putLayer(Layer layer, Path content) throws IOException {
        objects.putIfAbsent(layerKey(layer.name()), content);
    }

    static String name(Manifest manifest) {
        return "%016X-%08X".formatted(manifest.end().value(), manifest.generation());
    }

    String manifests() {
        return "timelines/" + timeline + "/snapshots/";
    }

    String layers() {
        return "timelines/" + timeline + "/layers/";
    }

    String layerKey(String name) {
        return layers() + name;
    }
}
