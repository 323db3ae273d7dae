package io.spg99.storage.replication;

import io.spg99.storage.wal.Lsn;
import java.nio.ByteBuffer;

/** What a server sends while it streams WAL. */
public sealed interface ReplicationMessage {

    /** WAL bytes from {@code at} on; the buffer is the receiver's. */
    record Wal(Lsn at, ByteBuffer bytes) implements ReplicationMessage {}

    /**
     * @param serverEnd      how far the server could send now
     * @param replyRequested it wants a status at once
     */
    record Keepalive(Lsn serverEnd, boolean replyRequested) implements ReplicationMessage {}
}
