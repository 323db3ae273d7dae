package io.spg99.storage.readthrough;

import io.spg99.storage.wal.Lsn;
import java.util.Arrays;

/**
 * Whether two copies of a block, one of which went through redo, are the same version of it: the last WAL record that changed
 * them is the same one. Redo does not make bytewise copies (hint bits and command ids are not in the WAL).
 *
 * <p>PostgreSQL's page header: pd_lsn 8 bytes, pd_checksum 2, pd_flags 2, pd_lower, pd_upper, pd_special and
 * pd_pagesize_version 2 each, pd_prune_xid 4.
 */
final class PageVersion {

    static final int LSN_END = 8;
    private static final int FLAGS = 10;
    private static final int BOUNDS = 12;
    private static final int UPPER = 14;
    private static final int BOUNDS_END = 20;

    /** PD_ALL_VISIBLE: set without a new pd_lsn, and the visibility map relies on it. The other flags are hints. */
    private static final int ALL_VISIBLE = 4;

    /** A block that was never changed by a WAL record has a smaller one: zero, or that of an index being built. */
    private static final Lsn SMALLEST_LSN = new Lsn(2);

    private PageVersion() {}

    /** False also where it cannot be known. */
    static boolean same(byte[] one, int oneOffset, byte[] other, int otherOffset) {
        return !lsn(one, oneOffset).isBefore(SMALLEST_LSN)
                && isUsed(one, oneOffset)
                && equal(one, oneOffset, other, otherOffset, 0, LSN_END)
                && equal(one, oneOffset, other, otherOffset, BOUNDS, BOUNDS_END)
                && (one[oneOffset + FLAGS] & ALL_VISIBLE) == (other[otherOffset + FLAGS] & ALL_VISIBLE);
    }

    private static boolean isUsed(byte[] page, int offset) {
        return page[offset + UPPER] != 0 || page[offset + UPPER + 1] != 0;
    }

    private static boolean equal(byte[] one, int oneOffset, byte[] other, int otherOffset, int from, int to) {
        return Arrays.equals(one, oneOffset + from, oneOffset + to, other, otherOffset + from, otherOffset + to);
    }

    /** Two little-endian halves, the upper one first. */
    static Lsn lsn(byte[] page, int offset) {
        long high = 0;
        long low = 0;
        for (int i = 3; i >= 0; i--) {
            high = high << 8 | (page[offset + i] & 0xFF);
            low = low << 8 | (page[offset + 4 + i] & 0xFF);
        }
        return new Lsn(high << 32 | low);
    }
}
