package io.spg99.storage.safekeeper;

/** PostgreSQL's names of WAL segment files. */
public final class WalSegmentName {

    private WalSegmentName() {}

    /** Name of the file with segment number {@code segment} as written by {@code generation}. */
    public static String of(int generation, long segment, int segmentSize) {
        long perLogId = 0x1_0000_0000L / segmentSize;
        return "%08X%08X%08X".formatted(generation, segment / perLogId, segment % perLogId);
    }
}
