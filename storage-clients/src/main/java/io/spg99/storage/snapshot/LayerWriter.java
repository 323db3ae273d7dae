package io.spg99.storage.snapshot;

import com.github.luben.zstd.Zstd;
import io.spg99.storage.wal.TimelineId;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;

/** Writes one layer to a stream, block by block. For one thread. */
final class LayerWriter implements Closeable {

    /** Blocks are compressed while a redo worker's result is waited for: fast rather than small. */
    private static final int LEVEL = 1;

    private final OutputStream out;
    private final byte[] header;
    private final byte[] group = new byte[LayerFormat.GROUP * Blocks.SIZE];
    private final byte[] compressed = new byte[(int) Zstd.compressBound(LayerFormat.GROUP * Blocks.SIZE)];
    private final ByteArrayOutputStream index = new ByteArrayOutputStream();
    private int blocks;
    private long written;

    LayerWriter(TimelineId timeline, OutputStream out) throws IOException {
        this.out = out;
        this.header = LayerFormat.header(timeline.uuid());
        out.write(header);
        written = header.length;
    }

    /** @return the block's number in this layer */
    int add(byte[] from, int offset) throws IOException {
        if (blocks == LayerFormat.MOST_BLOCKS) {
            throw new IOException("layer is full: blocks=" + blocks);
        }
        int at = blocks % LayerFormat.GROUP;
        System.arraycopy(from, offset, group, at * Blocks.SIZE, Blocks.SIZE);
        blocks++;
        if (at == LayerFormat.GROUP - 1) {
            writeGroup(LayerFormat.GROUP);
        }
        return blocks - 1;
    }

    int blocks() {
        return blocks;
    }

    /** Writes what is missing; nothing can be added afterwards. The stream stays open. */
    void finish() throws IOException {
        int rest = blocks % LayerFormat.GROUP;
        if (rest > 0) {
            writeGroup(rest);
        }
        byte[] entries = index.toByteArray();
        ByteBuffer footer = ByteBuffer.allocate(LayerFormat.FOOTER).order(ByteOrder.LITTLE_ENDIAN);
        footer.putInt(blocks).putInt(LayerFormat.groups(blocks));
        CRC32C crc = new CRC32C();
        crc.update(header);
        crc.update(entries);
        crc.update(footer.array(), 0, footer.position());
        footer.putInt((int) crc.getValue()).putInt(LayerFormat.MAGIC);
        out.write(entries);
        out.write(footer.array());
        written += entries.length + footer.capacity();
    }

    /** Bytes written. */
    long length() {
        return written;
    }

    private void writeGroup(int count) throws IOException {
        long length = Zstd.compressByteArray(compressed, 0, compressed.length, group, 0, count * Blocks.SIZE, LEVEL);
        if (Zstd.isError(length)) {
            throw new IOException("block group cannot be compressed: " + Zstd.getErrorName(length));
        }
        out.write(compressed, 0, (int) length);
        ByteBuffer entry = ByteBuffer.allocate(LayerFormat.INDEX_ENTRY).order(ByteOrder.LITTLE_ENDIAN);
        entry.putInt((int) length).putInt(LayerFormat.crc(compressed, 0, (int) length));
        index.write(entry.array());
        written += length;
    }

    @Override
    public void close() throws IOException {
        out.close();
    }
}
