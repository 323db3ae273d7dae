package io.spg99.nodes.safekeeper.log;

import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * Port: the disk of one timeline. One thread writes at a time; {@link #read} may run beside it. After an exception from
 * {@link #write}, {@link #sync} or {@link #writeControl} nothing is known of what had not been synced before.
 */
public interface WalDisk extends Closeable {

    /** The control file's content as last written; null if there is none. */
    byte @Nullable [] readControl() throws IOException;

    /** Replaces the control file: after a crash the old or the new content is there, whole; durable on return. */
    void writeControl(byte[] content) throws IOException;

    /**
     * Reads from a segment; bytes never written are zero.
     *
     * @return number of bytes read: fewer than asked for at the end of the file, 0 if there is no such file
     */
    int read(Segment segment, int offset, ByteBuffer into) throws IOException;

    /** Writes into a segment, creating its file if need be; durable only after {@link #sync}. */
    void write(Segment segment, int offset, ByteBuffer bytes) throws IOException;

    /** Removes the files of all segments below {@code number}, whatever their generation; after a crash some may be there again. */
    void removeBefore(long number) throws IOException;

    /** Makes everything written so far durable. */
    void sync() throws IOException;
}
