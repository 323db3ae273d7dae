package io.spg99.storage.wal;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonValue;
import java.util.regex.Pattern;

/** A byte position in the WAL (PostgreSQL's XLogRecPtr, unsigned 64 bit), written {@code %X/%X}. */
public record Lsn(@JsonValue long value) implements Comparable<Lsn> {

    /** PostgreSQL's InvalidXLogRecPtr. */
    public static final Lsn ZERO = new Lsn(0);

    private static final Pattern FORM = Pattern.compile("[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}");

    @JsonCreator(mode = JsonCreator.Mode.DELEGATING)
    public static Lsn of(long value) {
        return new Lsn(value);
    }

    /**
     * Reads {@code %X/%X}.
     *
     * @throws IllegalArgumentException if the text has another form
     */
    public static Lsn parse(String text) {
        if (!FORM.matcher(text).matches()) {
            throw new IllegalArgumentException("not an LSN: lsn=" + text);
        }
        int slash = text.indexOf('/');
        long high = Long.parseUnsignedLong(text.substring(0, slash), 16);
        long low = Long.parseUnsignedLong(text.substring(slash + 1), 16);
        return new Lsn(high << 32 | low);
    }

    public Lsn plus(long bytes) {
        return new Lsn(value + bytes);
    }

    /** Bytes from {@code earlier} to this position. */
    public long minus(Lsn earlier) {
        return value - earlier.value;
    }

    /** Number of the segment that holds the byte at this position. */
    public long segment(int segmentSize) {
        return Long.divideUnsigned(value, segmentSize);
    }

    /** Start of the segment that holds the byte at this position. */
    public Lsn segmentStart(int segmentSize) {
        return new Lsn(value - offset(segmentSize));
    }

    /** Offset of this position within its segment, in bytes. */
    public int offset(int segmentSize) {
        return (int) Long.remainderUnsigned(value, segmentSize);
    }

    public boolean isBefore(Lsn other) {
        return compareTo(other) < 0;
    }

    public boolean isAfter(Lsn other) {
        return compareTo(other) > 0;
    }

    public static Lsn min(Lsn a, Lsn b) {
        return a.isBefore(b) ? a : b;
    }

    public static Lsn max(Lsn a, Lsn b) {
        return a.isAfter(b) ? a : b;
    }

    @Override
    public int compareTo(Lsn other) {
        return Long.compareUnsigned(value, other.value);
    }

    @Override
    public String toString() {
        return "%X/%X".formatted(value >>> 32, value & 0xFFFFFFFFL);
    }
}
