package io.spg99.storage.wal;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonValue;
import java.util.UUID;
import java.util.regex.Pattern;

/**
 * Name of the durable history of one database: 32 lower-case hexadecimal digits, safe as a file name, an object key and
 * a PostgreSQL user name. Not PostgreSQL's timeline ID, which is a generation's number.
 */
public record TimelineId(@JsonValue String value) {

    private static final Pattern FORM = Pattern.compile("[0-9a-f]{32}");

    @JsonCreator(mode = JsonCreator.Mode.DELEGATING)
    public TimelineId {
        if (!FORM.matcher(value).matches()) {
            throw new IllegalArgumentException("not a timeline id (32 hexadecimal digits): timeline=" + value);
        }
    }

    /** The same 128 bits. */
    public UUID uuid() {
        return new UUID(Long.parseUnsignedLong(value, 0, 16, 16), Long.parseUnsignedLong(value, 16, 32, 16));
    }

    @Override
    public String toString() {
        return value;
    }
}
