package io.spg99.storage.snapshot;

import io.spg99.storage.readthrough.BlockRange;
import io.spg99.storage.readthrough.RelationFile;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;

/** Reads blocks of one snapshot. For any thread; blocks. */
public final class SnapshotReader {

    /** Groups kept decompressed, 64 kB each: neighbours of what was read last. */
    private static final int CACHED_GROUPS = 64;

    /** Groups read from object storage at once, 4 MB decompressed. */
    private static final int GROUPS_AT_ONCE = 64;

    /** Groups that lie no further from each other are read at once: what is between them costs less than another request. */
    private static final int NEAR = 8;

    private static final byte[] NOT_READ = {};

    private final SnapshotStore store;
    private final Manifest manifest;
    private final Path image;
    private final Map<Integer, LayerReader> open = new LinkedHashMap<>();

    private final Map<Long, byte[]> groups = new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Long, byte[]> eldest) {
            return size() > CACHED_GROUPS;
        }
    };

    /** @param image files of the base image that the manifest names, unpacked */
    public SnapshotReader(SnapshotStore store, Manifest manifest, Path image) {
        this.store = store;
        this.manifest = manifest;
        this.image = image;
    }

    public Manifest manifest() {
        return manifest;
    }

    /** Of another snapshot of the same timeline. */
    public SnapshotReader at(Manifest other) {
        return new SnapshotReader(store, other, image);
    }

    /** Blocks of a file; 0 if the snapshot does not have it. */
    public int blocks(RelationFile file) {
        return manifest.file(file.path()).map(SnapshotFile::blocks).orElse(0);
    }

    /** Receives blocks in order. */
    @FunctionalInterface
    public interface Sink {
        /** @param bytes holds {@code count} blocks from {@code offset} on; not to be kept or changed */
        void accept(int first, int count, byte[] bytes, int offset) throws IOException;
    }

    /**
     * Reads {@code count} blocks of a file from block number {@code first} on, in pieces.
     *
     * @throws CorruptSnapshotException if what is stored is not what was written
     */
    public void read(SnapshotFile file, int first, int count, Sink sink) throws IOException {
        for (SnapshotFile.Run run : file.runs(first, count)) {
            readRun(file, run, this::groups, sink);
        }
    }

    /**
     * Reads several ranges, of any files, in their order. What lies close together in a layer is read from object storage at once.
     *
     * @throws CorruptSnapshotException if what is stored is not what was written
     */
    void read(List<BlockRange> ranges, Sink sink) throws IOException {
        if (ranges.size() == 1) {
            BlockRange only = ranges.getFirst();
            read(file(only), only.first(), only.count(), sink);
            return;
        }
        NavigableMap<Long, byte[]> near = new TreeMap<>();
        for (BlockRange range : ranges) {
            for (SnapshotFile.Run run : file(range).runs(range.first(), range.count())) {
                for (int at = run.position(); run.layer() >= 0 && at < run.position() + run.count(); at++) {
                    near.put(key(run.layer(), at / LayerFormat.GROUP), NOT_READ);
                }
            }
        }
        readNear(near);
        Groups known = (layer, first, count) -> {
            byte[][] groups = new byte[count][];
            Arrays.setAll(groups, i -> near.get(key(layer, first + i)));
            return groups;
        };
        for (BlockRange range : ranges) {
            SnapshotFile file = file(range);
            for (SnapshotFile.Run run : file.runs(range.first(), range.count())) {
                readRun(file, run, known, sink);
            }
        }
    }

    private SnapshotFile file(BlockRange range) throws IOException {
        String path = range.file().path();
        return manifest.file(path).orElseThrow(() -> new IOException("snapshot has no such file: path=" + path));
    }

    private static long key(int layer, int group) {
        return ((long) layer << 32) | group;
    }

    /** Reads the groups that are the keys. */
    private void readNear(NavigableMap<Long, byte[]> groups) throws IOException {
        List<Long> keys = List.copyOf(groups.keySet());
        int next = 0;
        while (next < keys.size()) {
            long first = keys.get(next);
            BitSet wanted = new BitSet();
            wanted.set(0);
            next++;
            while (next < keys.size()
                    && keys.get(next) - keys.get(next - 1) <= NEAR
                    && keys.get(next) - first < GROUPS_AT_ONCE) {
                wanted.set((int) (keys.get(next) - first));
                next++;
            }
            byte[][] read = layer((int) (first >>> 32)).groups((int) first, wanted);
            for (int i = wanted.nextSetBit(0); i >= 0; i = wanted.nextSetBit(i + 1)) {
                groups.put(first + i, read[i]);
            }
        }
    }

    /**
     * Single blocks of these, each by itself, in the order in which they lie in the layers; without those that the snapshot does not
     * have. Takes some microseconds for each of them.
     */
    public List<BlockRange> inOrder(Map<RelationFile, BitSet> blocks) {
        List<Placed> placed = new ArrayList<>();
        blocks.forEach((relation, wanted) -> manifest.file(relation.path()).ifPresent(file -> {
            int end = file.blocks();
            for (int block = wanted.nextSetBit(0); block >= 0 && block < end; block = wanted.nextSetBit(block + 1)) {
                SnapshotFile.Run run = file.runs().get(file.runOf(block));
                long place = key(run.layer(), run.position() + block - run.first());
                placed.add(new Placed(place, new BlockRange(relation, block, 1)));
            }
        }));
        placed.sort(Comparator.comparingLong(Placed::place));
        return placed.stream().map(Placed::block).toList();
    }

    private record Placed(long place, BlockRange block) {}

    /** Where groups come from. */
    @FunctionalInterface
    private interface Groups {
        byte[][] read(int layer, int first, int count) throws IOException;
    }

    private void readRun(SnapshotFile file, SnapshotFile.Run run, Groups source, Sink sink) throws IOException {
        switch (run.layer()) {
            case SnapshotFile.IMAGE -> readImage(file, run, sink);
            case SnapshotFile.ZEROS -> {
                byte[] zeros = new byte[Blocks.SIZE];
                for (int block = run.first(); block < run.end(); block++) {
                    sink.accept(block, 1, zeros, 0);
                }
            }
            default -> readLayer(run, source, sink);
        }
    }

    private void readImage(SnapshotFile file, SnapshotFile.Run run, Sink sink) throws IOException {
        int most = GROUPS_AT_ONCE * LayerFormat.GROUP;
        try (FileChannel channel = FileChannel.open(image.resolve(file.path()), StandardOpenOption.READ)) {
            int next = run.first();
            while (next < run.end()) {
                int count = Math.min(most, run.end() - next);
                byte[] bytes = new byte[count * Blocks.SIZE];
                int length = (int) Math.min(bytes.length, file.size() - (long) next * Blocks.SIZE);
                ByteBuffer into = ByteBuffer.wrap(bytes, 0, length);
                while (into.hasRemaining()) {
                    if (channel.read(into, (long) next * Blocks.SIZE + into.position()) < 0) {
                        throw new EOFException("base image lacks a block: image=" + manifest.image() + " path="
                                + file.path() + " block=" + next);
                    }
                }
                sink.accept(next, count, bytes, 0);
                next += count;
            }
        }
    }

    private void readLayer(SnapshotFile.Run run, Groups source, Sink sink) throws IOException {
        int block = run.first();
        int position = run.position();
        int end = position + run.count();
        while (position < end) {
            int group = position / LayerFormat.GROUP;
            int last = (end - 1) / LayerFormat.GROUP;
            byte[][] read = source.read(run.layer(), group, Math.min(last - group + 1, GROUPS_AT_ONCE));
            for (byte[] bytes : read) {
                int inGroup = position % LayerFormat.GROUP;
                int count = Math.min(LayerFormat.GROUP - inGroup, end - position);
                sink.accept(block, count, bytes, inGroup * Blocks.SIZE);
                block += count;
                position += count;
            }
        }
    }

    private byte[][] groups(int layer, int first, int count) throws IOException {
        LayerReader reader = layer(layer);
        if (count > 1) {
            return reader.groups(first, count);
        }
        long key = key(layer, first);
        byte[] cached;
        synchronized (groups) {
            cached = groups.get(key);
        }
        if (cached == null) {
            cached = reader.group(first);
            synchronized (groups) {
                groups.put(key, cached);
            }
        }
        return new byte[][] {cached};
    }

    private LayerReader layer(int layer) throws IOException {
        synchronized (open) {
            LayerReader reader = open.get(layer);
            if (reader == null) {
                Layer named = manifest.layers().get(layer);
                reader = LayerReader.open(store.objects(), store.layerKey(named.name()), store.timeline(), named);
                open.put(layer, reader);
            }
            return reader;
        }
    }
}
