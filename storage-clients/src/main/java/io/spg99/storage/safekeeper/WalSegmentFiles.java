package io.spg99.storage.safekeeper;

import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.jspecify.annotations.Nullable;

/**
 * Writes WAL as segment files under PostgreSQL's names, for the {@code pg_wal} of a new generation. The files have their
 * full size (sparse) and are not synced: a compute's disk is a cache.
 */
public final class WalSegmentFiles implements WalSink, Closeable {

    private final Path directory;
    private final WalHistory history;
    private final int segmentSize;
    private long open = -1;
    private @Nullable FileChannel channel;

    /** @param history lineage of the WAL; a segment's file is named after the newest generation that begins in or before it */
    public WalSegmentFiles(Path directory, WalHistory history, int segmentSize) {
        this.directory = directory;
        this.history = history;
        this.segmentSize = segmentSize;
    }

    @Override
    public void accept(Lsn at, ByteBuffer bytes) throws IOException {
        Lsn next = at;
        while (bytes.hasRemaining()) {
            int offset = next.offset(segmentSize);
            ByteBuffer part = bytes.slice();
            part.limit(Math.min(part.remaining(), segmentSize - offset));
            int length = part.remaining();
            FileChannel file = segment(next.segment(segmentSize));
            while (part.hasRemaining()) {
                file.write(part, offset + part.position());
            }
            bytes.position(bytes.position() + length);
            next = next.plus(length);
        }
    }

    private FileChannel segment(long segment) throws IOException {
        FileChannel file = channel;
        if (file == null || open != segment) {
            close();
            String name = WalSegmentName.of(history.generationOfSegment(segment, segmentSize), segment, segmentSize);
            file = FileChannel.open(directory.resolve(name), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            channel = file;
            open = segment;
            if (file.size() < segmentSize) {
                // The last byte gives the file its size.
                file.write(ByteBuffer.allocate(1), segmentSize - 1L);
            }
        }
        return file;
    }

    @Override
    public void close() throws IOException {
        FileChannel file = channel;
        channel = null;
        if (file != null) {
            file.close();
        }
    }
}
