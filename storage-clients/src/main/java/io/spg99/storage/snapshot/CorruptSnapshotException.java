package io.spg99.storage.snapshot;

import java.io.IOException;

/** An object of a snapshot is not what was written: nothing of it is served. Reading it again does not help. */
public final class CorruptSnapshotException extends IOException {

    private static final long serialVersionUID = 1;

    /** @param object name of the object that is damaged */
    public CorruptSnapshotException(String object, String what) {
        super("snapshot is damaged: object=" + object + " " + what);
    }
}
