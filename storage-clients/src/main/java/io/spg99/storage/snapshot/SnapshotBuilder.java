package io.spg99.storage.snapshot;

import io.spg99.storage.readthrough.ReadThrough;
import io.spg99.storage.readthrough.RelationFile;
import io.spg99.storage.wal.Lsn;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Clock;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Makes the next snapshot of a data directory: what differs from the snapshot before goes into a new layer. Of files that are
 * read through that is what was written; of all others blocks are compared, not times, which only tell which files need no look.
 * On the way old layers are merged into the new one: those
 * of which less than half is still in use, so that object storage never holds more than twice what is, and the smallest ones
 * when they are many. For one thread and one snapshot; blocks.
 */
public final class SnapshotBuilder {

    /** Layers of one snapshot: a reader opens each of them once, and a manifest is smaller with fewer. */
    static final int MOST_LAYERS = 24;

    /** What is left of them when they were too many: so that not every snapshot has to merge some. */
    private static final int FEW_LAYERS = MOST_LAYERS / 2;

    /** Blocks compared at once, 2 MB. */
    private static final int CHUNK = 256;

    private final SnapshotStore store;
    private final SnapshotReader before;
    private final Target target;
    private final Path scratch;

    /** The new layer's index until the end: it follows those of the snapshot before. */
    private final int added;

    private final LayerWriter layer;

    /**
     * Which state the directory is in.
     *
     * @param redo   as in its {@code pg_control}
     * @param clock  asked when the layer is complete: what is not published yet must not look old while it is being made
     * @param random makes the layer's name unique
     */
    public record Target(int generation, Lsn redo, Lsn end, Clock clock, long random) {}

    private SnapshotBuilder(SnapshotStore store, SnapshotReader before, Target target, Path scratch)
            throws IOException {
        this.store = store;
        this.before = before;
        this.target = target;
        this.scratch = scratch;
        this.added = before.manifest().layers().size();
        this.layer = new LayerWriter(
                store.timeline(),
                new BufferedOutputStream(
                        Files.newOutputStream(scratch, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)));
    }

    /**
     * Compares and writes the layer. The snapshot becomes real with {@link SnapshotStore#publish}.
     *
     * @param before    the snapshot that the directory was made from, see {@link DataDirectory#hydrate} and
     *                  {@link SoftBasebackup#lay}
     * @param untouched the directory's content at that time
     * @param through   its agent, if it is read through; no server runs there any more
     * @param scratch   name for a temporary file, removed again
     */
    public static Manifest build(
            SnapshotStore store,
            SnapshotReader before,
            DataDirectory directory,
            DataDirectory.Content untouched,
            Optional<ReadThrough> through,
            Target target,
            Path scratch)
            throws IOException {
        try {
            SnapshotBuilder builder = new SnapshotBuilder(store, before, target, scratch);
            try (LayerWriter writing = builder.layer) {
                return builder.build(directory, untouched, through, writing);
            }
        } finally {
            Files.deleteIfExists(scratch);
        }
    }

    private Manifest build(
            DataDirectory directory,
            DataDirectory.Content untouched,
            Optional<ReadThrough> through,
            LayerWriter writing)
            throws IOException {
        Map<String, SnapshotFile> old = before.manifest().filesByPath();
        // In order of paths. Asked first: what is absent now is as it was, even if it is being made.
        SortedMap<String, SnapshotFile> files = new TreeMap<>();
        for (RelationFile absent : through.map(ReadThrough::absent).orElse(List.of())) {
            files.put(absent.path(), Objects.requireNonNull(old.get(absent.path())));
        }
        DataDirectory.Content content = directory.content();
        for (Map.Entry<String, DataDirectory.Stamp> entry : content.files().entrySet()) {
            String path = entry.getKey();
            DataDirectory.Stamp stamp = entry.getValue();
            SnapshotFile known = old.get(path);
            if (known != null && stamp.equals(untouched.files().get(path))) {
                files.put(path, known);
            } else if (!files.containsKey(path)) {
                Optional<BitSet> changed =
                        through.flatMap(agent -> RelationFile.parse(path).flatMap(agent::changed));
                Path file = directory.root().resolve(path);
                files.put(
                        path,
                        known != null && changed.isPresent()
                                ? take(file, stamp.size(), known, changed.get())
                                : compare(file, path, stamp.size(), known));
            }
        }
        List<SnapshotFile> merged = merge(List.copyOf(files.values()));
        writing.finish();
        writing.close();
        List<Layer> layers = new ArrayList<>(before.manifest().layers());
        long madeAtMillis = target.clock().millis();
        if (writing.blocks() > 0) {
            Layer made = new Layer(Layer.name(madeAtMillis, target.random()), writing.blocks(), writing.length());
            store.putLayer(made, scratch);
            layers.add(made);
        }
        return manifest(content.directories(), layers, merged, madeAtMillis);
    }

    private SnapshotFile compare(Path file, String path, long size, @Nullable SnapshotFile known) throws IOException {
        Runs runs = new Runs();
        int blocks = Blocks.count(size);
        byte[] chunk = new byte[CHUNK * Blocks.SIZE];
        byte[] old = new byte[CHUNK * Blocks.SIZE];
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            for (int first = 0; first < blocks; first += CHUNK) {
                int count = Math.min(CHUNK, blocks - first);
                read(channel, first, count, size, chunk);
                int shared = known == null ? 0 : Math.clamp(known.blocks() - (long) first, 0, count);
                if (known != null && shared > 0) {
                    int start = first;
                    before.read(
                            known,
                            first,
                            shared,
                            (at, length, bytes, offset) -> System.arraycopy(
                                    bytes, offset, old, (at - start) * Blocks.SIZE, length * Blocks.SIZE));
                }
                for (int i = 0; i < count; i++) {
                    int from = i * Blocks.SIZE;
                    int to = from + Blocks.SIZE;
                    if (isZero(chunk, from, to)) {
                        runs.add(SnapshotFile.ZEROS, 0);
                    } else if (known != null && i < shared && Arrays.equals(chunk, from, to, old, from, to)) {
                        runs.addKnown(known, first + i);
                    } else {
                        runs.add(added, layer.add(chunk, from));
                    }
                }
            }
        }
        return new SnapshotFile(path, size, runs.done());
    }

    /** Of a file that is read through: what was written, and what lies beyond the blocks that it had. */
    private SnapshotFile take(Path file, long size, SnapshotFile known, BitSet changed) throws IOException {
        Runs runs = new Runs();
        int blocks = Blocks.count(size);
        byte[] block = new byte[Blocks.SIZE];
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            for (int i = 0; i < blocks; i++) {
                if (i < known.blocks() && !changed.get(i)) {
                    runs.addKnown(known, i);
                    continue;
                }
                read(channel, i, 1, size, block);
                if (isZero(block, 0, Blocks.SIZE)) {
                    runs.add(SnapshotFile.ZEROS, 0);
                } else {
                    runs.add(added, layer.add(block, 0));
                }
            }
        }
        return new SnapshotFile(known.path(), size, runs.done());
    }

    private static void read(FileChannel channel, int first, int count, long size, byte[] into) throws IOException {
        long at = (long) first * Blocks.SIZE;
        int length = (int) Math.min((long) count * Blocks.SIZE, size - at);
        ByteBuffer buffer = ByteBuffer.wrap(into, 0, length);
        while (buffer.hasRemaining()) {
            if (channel.read(buffer, at + buffer.position()) < 0) {
                throw new IOException("file became shorter while it was read");
            }
        }
        Arrays.fill(into, length, count * Blocks.SIZE, (byte) 0);
    }

    private static boolean isZero(byte[] bytes, int from, int to) {
        for (int i = from; i < to; i++) {
            if (bytes[i] != 0) {
                return false;
            }
        }
        return true;
    }

    /** Copies what is in use of the layers to be given up into the new one. */
    private List<SnapshotFile> merge(List<SnapshotFile> files) throws IOException {
        Set<Integer> givenUp = layersToGiveUp(files);
        if (givenUp.isEmpty()) {
            return files;
        }
        Map<String, SnapshotFile> old = before.manifest().filesByPath();
        List<SnapshotFile> merged = new ArrayList<>(files.size());
        for (SnapshotFile file : files) {
            if (file.runs().stream().noneMatch(run -> givenUp.contains(run.layer()))) {
                merged.add(file);
                continue;
            }
            Runs runs = new Runs();
            SnapshotFile source = old.get(file.path());
            for (SnapshotFile.Run run : file.runs()) {
                if (source != null && givenUp.contains(run.layer())) {
                    before.read(source, run.first(), run.count(), (first, count, bytes, offset) -> {
                        for (int i = 0; i < count; i++) {
                            runs.add(added, layer.add(bytes, offset + i * Blocks.SIZE));
                        }
                    });
                } else {
                    for (int i = 0; i < run.count(); i++) {
                        runs.add(run.layer(), run.layer() < 0 ? 0 : run.position() + i);
                    }
                }
            }
            merged.add(new SnapshotFile(file.path(), file.size(), runs.done()));
        }
        return merged;
    }

    private Set<Integer> layersToGiveUp(List<SnapshotFile> files) {
        int[] used = new int[added];
        for (SnapshotFile file : files) {
            for (SnapshotFile.Run run : file.runs()) {
                if (run.layer() >= 0 && run.layer() < added) {
                    used[run.layer()] += run.count();
                }
            }
        }
        Set<Integer> givenUp = new HashSet<>();
        List<Integer> kept = new ArrayList<>();
        for (int i = 0; i < added; i++) {
            if (used[i] > 0 && used[i] * 2L < before.manifest().layers().get(i).blocks()) {
                givenUp.add(i);
            } else if (used[i] > 0) {
                kept.add(i);
            }
        }
        if (kept.size() >= MOST_LAYERS) {
            kept.sort(Comparator.comparingInt(i -> used[i]));
            givenUp.addAll(kept.subList(0, kept.size() - FEW_LAYERS));
        }
        return givenUp;
    }

    /** Names only the layers that are in use. */
    private Manifest manifest(List<String> directories, List<Layer> all, List<SnapshotFile> files, long madeAtMillis) {
        Map<Integer, Integer> numbers = new HashMap<>();
        List<Layer> layers = new ArrayList<>();
        List<SnapshotFile> renumbered = new ArrayList<>(files.size());
        for (SnapshotFile file : files) {
            List<SnapshotFile.Run> runs = new ArrayList<>(file.runs().size());
            for (SnapshotFile.Run run : file.runs()) {
                int number = run.layer() < 0
                        ? run.layer()
                        : numbers.computeIfAbsent(run.layer(), old -> {
                            layers.add(all.get(old));
                            return layers.size() - 1;
                        });
                runs.add(new SnapshotFile.Run(run.first(), run.count(), number, run.position()));
            }
            renumbered.add(new SnapshotFile(file.path(), file.size(), runs));
        }
        Manifest old = before.manifest();
        return new Manifest(
                old.timeline(),
                old.systemIdentifier(),
                old.segmentSize(),
                old.image(),
                target.generation(),
                target.redo(),
                target.end(),
                madeAtMillis,
                layers,
                directories,
                renumbered);
    }

    /** Joins blocks that follow each other. */
    private static final class Runs {
        private final List<SnapshotFile.Run> done = new ArrayList<>();
        private int first;
        private int count;
        private int layer;
        private int position;

        void add(int nextLayer, int nextPosition) {
            boolean follows = count > 0 && nextLayer == layer && (nextLayer < 0 || nextPosition == position + count);
            if (!follows) {
                end();
                layer = nextLayer;
                position = nextPosition;
            }
            count++;
        }

        /** A block that is where it was. */
        void addKnown(SnapshotFile file, int block) {
            SnapshotFile.Run run = file.runs().get(file.runOf(block));
            add(run.layer(), run.layer() < 0 ? 0 : run.position() + block - run.first());
        }

        private void end() {
            if (count > 0) {
                done.add(new SnapshotFile.Run(first, count, layer, position));
                first += count;
                count = 0;
            }
        }

        List<SnapshotFile.Run> done() {
            end();
            return done;
        }
    }
}
