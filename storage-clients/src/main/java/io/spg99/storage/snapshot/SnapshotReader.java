package io.spg99.storage.snapshot;

import io.spg99.storage.readthrough.RelationFile;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.Map;

/** Reads blocks of one snapshot. For any thread; blocks. */
public final class SnapshotReader {

    /** Groups kept decompressed, 64 kB each: neighbours of what was read last. */
    private static final int CACHED_GROUPS = 64;

    /** Groups read from object storage at once, 4 MB decompressed. */
    private static final int GROUPS_AT_ONCE = 64;

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
        int end = first + count;
        if (first < 0 || count < 0 || end > file.blocks()) {
            throw new IllegalArgumentException(
                    "blocks out of bounds: path=" + file.path() + " first=" + first + " count=" + count);
        }
        int next = first;
        for (int i = file.runOf(first); next < end; i++) {
            SnapshotFile.Run run = file.runs().get(i);
            int skipped = next - run.first();
            int part = Math.min(run.end(), end) - next;
            readRun(file, new SnapshotFile.Run(next, part, run.layer(), run.position() + skipped), sink);
            next += part;
        }
    }

    private void readRun(SnapshotFile file, SnapshotFile.Run run, Sink sink) throws IOException {
        switch (run.layer()) {
            case SnapshotFile.IMAGE -> readImage(file, run, sink);
            case SnapshotFile.ZEROS -> {
                byte[] zeros = new byte[Blocks.SIZE];
                for (int block = run.first(); block < run.end(); block++) {
                    sink.accept(block, 1, zeros, 0);
                }
            }
            default -> readLayer(run, sink);
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

    private void readLayer(SnapshotFile.Run run, Sink sink) throws IOException {
        int block = run.first();
        int position = run.position();
        int end = position + run.count();
        while (position < end) {
            int group = position / LayerFormat.GROUP;
            int last = (end - 1) / LayerFormat.GROUP;
            byte[][] read = groups(run.layer(), group, Math.min(last - group + 1, GROUPS_AT_ONCE));
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
        long key = ((long) layer << 32) | first;
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
