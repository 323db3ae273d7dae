package io.spg99.storage.postgres;

import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Names and headers of the files in {@code pg_wal} (access/xlog_internal.h of PostgreSQL 17). */
public final class WalFiles {

    /** XLOG_PAGE_MAGIC of PostgreSQL 17. */
    public static final int PAGE_MAGIC = 0xD116;

    /** Length of the header of a segment's first page. */
    public static final int LONG_HEADER = 40;

    /** Length of the header of every other page. */
    public static final int SHORT_HEADER = 24;

    /** Where that header has the system identifier. */
    public static final int SYSTEM_IDENTIFIER_OFFSET = 24;

    private static final int TIMELINE_OFFSET = 4;
    private static final int PAGE_ADDRESS_OFFSET = 8;
    private static final int SEGMENT_SIZE_OFFSET = 32;

    private WalFiles() {}

    /** Header of a segment's first page. */
    public record SegmentHeader(int magic, int timeline, Lsn address, long systemIdentifier, int segmentSize) {

        /** @param page at least {@link #LONG_HEADER} bytes */
        public static SegmentHeader read(byte[] page) {
            ByteBuffer header = ByteBuffer.wrap(page).order(ByteOrder.LITTLE_ENDIAN);
            return new SegmentHeader(
                    Short.toUnsignedInt(header.getShort(0)),
                    header.getInt(TIMELINE_OFFSET),
                    new Lsn(header.getLong(PAGE_ADDRESS_OFFSET)),
                    header.getLong(SYSTEM_IDENTIFIER_OFFSET),
                    header.getInt(SEGMENT_SIZE_OFFSET));
        }
    }

    public static String segmentName(int timeline, long segment, int segmentSize) {
        long perFile = 0x1_0000_0000L / segmentSize;
        return "%08X%08X%08X".formatted(timeline, segment / perFile, segment % perFile);
    }

    public static String historyName(int timeline) {
        return "%08X.history".formatted(timeline);
    }

    /** Content of the history file of a lineage's last generation; empty if that has no parent. */
    public static String history(WalHistory lineage) {
        StringBuilder content = new StringBuilder();
        for (int i = 1; i < lineage.terms().size(); i++) {
            content.append(lineage.terms().get(i - 1).generation())
                    .append('\t')
                    .append(lineage.terms().get(i).begin())
                    .append("\tnew generation\n");
        }
        return content.toString();
    }
}
