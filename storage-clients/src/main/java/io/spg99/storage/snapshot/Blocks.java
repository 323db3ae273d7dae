package io.spg99.storage.snapshot;

/** What all of a snapshot is cut into. */
public final class Blocks {

    /** Bytes of a block: PostgreSQL's BLCKSZ. The last block of a file that is no relation is filled up with zeros. */
    public static final int SIZE = 8192;

    private Blocks() {}

    /** Blocks that a file of {@code bytes} takes. */
    public static int count(long bytes) {
        return Math.toIntExact((bytes + SIZE - 1) / SIZE);
    }
}
