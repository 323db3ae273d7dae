package io.spg99.storage.safekeeper;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonValue;
import java.util.List;
import java.util.regex.Pattern;

/** Name of a Safekeeper; also its application_name towards the writer, as in {@code ANY 2 (sk1, sk2, sk3)}. */
public record SafekeeperId(@JsonValue String value) implements Comparable<SafekeeperId> {

    private static final Pattern FORM = Pattern.compile("sk[1-9][0-9]{0,3}");

    /** The three Safekeepers of a timeline; two of them are its quorum. */
    public static final List<SafekeeperId> ALL =
            List.of(new SafekeeperId("sk1"), new SafekeeperId("sk2"), new SafekeeperId("sk3"));

    public static final int QUORUM = 2;

    @JsonCreator(mode = JsonCreator.Mode.DELEGATING)
    public SafekeeperId {
        if (!FORM.matcher(value).matches()) {
            throw new IllegalArgumentException("not a Safekeeper id (sk1, sk2, sk3): id=" + value);
        }
    }

    @Override
    public int compareTo(SafekeeperId other) {
        return value.compareTo(other.value);
    }

    @Override
    public String toString() {
        return value;
    }
}
