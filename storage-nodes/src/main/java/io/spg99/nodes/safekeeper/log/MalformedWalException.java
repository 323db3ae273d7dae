package io.spg99.nodes.safekeeper.log;

import io.spg99.storage.wal.Lsn;
import java.io.IOException;

/** Bytes that cannot be WAL at this position. In a scan after a restart: the end of what is there. */
public final class MalformedWalException extends IOException {

    MalformedWalException(Lsn at, String reason) {
        super("not WAL at " + at + ": " + reason);
    }
}
