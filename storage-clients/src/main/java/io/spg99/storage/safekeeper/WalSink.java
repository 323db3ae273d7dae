package io.spg99.storage.safekeeper;

import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.ByteBuffer;

/** Takes WAL in order, without gaps. */
@FunctionalInterface
public interface WalSink {

    /** @param bytes the WAL from {@code at} on; valid during the call only */
    void accept(Lsn at, ByteBuffer bytes) throws IOException;
}
