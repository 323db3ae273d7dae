package io.spg99.storage.snapshot;

import com.github.luben.zstd.Zstd;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.BitSet;
import java.util.zip.CRC32C;

/** Reads single groups of one layer out of object storage, and believes none of them unchecked. For any thread. */
final class LayerReader {

    private final ObjectStore objects;
    private final String key;
    private final Layer layer;

    /** Where each group begins, and where the last one ends. */
    private final long[] offsets;

    private final int[] checksums;

    private LayerReader(ObjectStore objects, String key, Layer layer, long[] offsets, int[] checksums) {
        this.objects = objects;
        this.key = key;
        this.layer = layer;
        this.offsets = offsets;
        this.checksums = checksums;
    }

    /** Reads the index. */
    static LayerReader open(ObjectStore objects, String key, TimelineId timeline, Layer layer) throws IOException {
        int tail = LayerFormat.tail(layer.blocks());
        byte[] bytes = objects.read(key, layer.bytes() - tail, tail);
        ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        int groups = LayerFormat.groups(layer.blocks());
        int footer = tail - LayerFormat.FOOTER;
        CRC32C crc = new CRC32C();
        crc.update(LayerFormat.header(timeline.uuid()));
        crc.update(bytes, 0, footer + 8);
        if (in.getInt(footer + 12) != LayerFormat.MAGIC
                || in.getInt(footer + 8) != (int) crc.getValue()
                || in.getInt(footer) != layer.blocks()
                || in.getInt(footer + 4) != groups) {
            throw new CorruptSnapshotException(key, "its index is not that of a layer with blocks=" + layer.blocks());
        }
        long[] offsets = new long[groups + 1];
        int[] checksums = new int[groups];
        offsets[0] = LayerFormat.HEADER;
        for (int i = 0; i < groups; i++) {
            int length = in.getInt();
            if (length < 0 || length > Zstd.compressBound(LayerFormat.GROUP * Blocks.SIZE)) {
                throw new CorruptSnapshotException(key, "group=" + i + " length=" + length);
            }
            offsets[i + 1] = offsets[i] + length;
            checksums[i] = in.getInt();
        }
        if (offsets[groups] != layer.bytes() - tail) {
            throw new CorruptSnapshotException(
                    key, "its groups end at " + offsets[groups] + " instead of " + (layer.bytes() - tail));
        }
        return new LayerReader(objects, key, layer, offsets, checksums);
    }

    /** The blocks of a group, one after the other. */
    byte[] group(int group) throws IOException {
        int length = (int) (offsets[group + 1] - offsets[group]);
        return decompress(group, objects.read(key, offsets[group], length), 0);
    }

    /** The blocks of {@code count} groups, read at once. */
    byte[][] groups(int first, int count) throws IOException {
        BitSet all = new BitSet(count);
        all.set(0, count);
        return groups(first, all);
    }

    /**
     * The blocks of several groups, read at once, with what lies between them.
     *
     * @param wanted not empty; counted from {@code first}
     * @return as many as the last of them asks for; null where it was not wanted
     */
    byte[][] groups(int first, BitSet wanted) throws IOException {
        int length = Math.toIntExact(offsets[first + wanted.length()] - offsets[first]);
        byte[] compressed = objects.read(key, offsets[first], length);
        byte[][] groups = new byte[wanted.length()][];
        for (int i = wanted.nextSetBit(0); i >= 0; i = wanted.nextSetBit(i + 1)) {
            groups[i] = decompress(first + i, compressed, (int) (offsets[first + i] - offsets[first]));
        }
        return groups;
    }

    private byte[] decompress(int group, byte[] compressed, int offset) throws CorruptSnapshotException {
        int length = (int) (offsets[group + 1] - offsets[group]);
        if (LayerFormat.crc(compressed, offset, length) != checksums[group]) {
            throw new CorruptSnapshotException(key, "group=" + group + " has a wrong checksum");
        }
        byte[] blocks = new byte[LayerFormat.blocksIn(group, layer.blocks()) * Blocks.SIZE];
        long size = Zstd.decompressByteArray(blocks, 0, blocks.length, compressed, offset, length);
        if (size != blocks.length) {
            throw new CorruptSnapshotException(
                    key, "group=" + group + " expectedBytes=" + blocks.length + " actual=" + size);
        }
        return blocks;
    }
}
