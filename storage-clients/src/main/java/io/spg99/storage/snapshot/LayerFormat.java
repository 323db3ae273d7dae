package io.spg99.storage.snapshot;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.UUID;
import java.util.zip.CRC32C;

/**
 * A layer: blocks in the order they were written, numbered from 0. Little endian.
 *
 * <pre>
 * header   magic u32 "SPGL", version u32, timeline 16 bytes
 * group    {@link #GROUP} blocks (the last one fewer), compressed with zstd as one frame
 * …
 * index    per group: compressed length u32, CRC-32C of the compressed bytes u32
 * footer   blocks u32, groups u32, CRC-32C of header, index and the footer so far u32, magic u32
 * </pre>
 *
 * Who knows a layer's length and its number of blocks, as a manifest does, knows where the index begins.
 */
final class LayerFormat {

    /** Blocks compressed together: more of them compress better, and a read of one block decompresses them all. */
    static final int GROUP = 8;

    static final int MAGIC = 0x4C475053;
    static final int VERSION = 1;
    static final int HEADER = 24;
    static final int INDEX_ENTRY = 8;
    static final int FOOTER = 16;

    /** A block number is a positive int, with room for the sum of two. */
    static final int MOST_BLOCKS = 1 << 29;

    private LayerFormat() {}

    static int groups(int blocks) {
        return (blocks + GROUP - 1) / GROUP;
    }

    /** Blocks in group number {@code group} of a layer with {@code blocks} blocks. */
    static int blocksIn(int group, int blocks) {
        return Math.min(GROUP, blocks - group * GROUP);
    }

    /** Bytes at the end of a layer that hold index and footer. */
    static int tail(int blocks) {
        return Math.addExact(Math.multiplyExact(groups(blocks), INDEX_ENTRY), FOOTER);
    }

    static ByteBuffer buffer(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    static byte[] header(UUID timeline) {
        // The id's digits in their own order.
        return buffer(HEADER)
                .putInt(MAGIC)
                .putInt(VERSION)
                .putLong(Long.reverseBytes(timeline.getMostSignificantBits()))
                .putLong(Long.reverseBytes(timeline.getLeastSignificantBits()))
                .array();
    }

    static int crc(byte[] bytes, int offset, int length) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, offset, length);
        return (int) crc.getValue();
    }
}
