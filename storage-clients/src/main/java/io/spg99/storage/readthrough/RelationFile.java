package io.spg99.storage.readthrough;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * One file of a relation: one segment of one fork.
 *
 * @param database OID, 0 for what all databases share
 * @param relation relfilenumber
 * @param segment  1 GB each, from 0
 */
public record RelationFile(int database, int relation, Fork fork, int segment) implements Comparable<RelationFile> {

    /** With PostgreSQL's numbers. */
    public enum Fork {
        MAIN(0, ""),
        FREE_SPACE_MAP(1, "_fsm"),
        VISIBILITY_MAP(2, "_vm"),
        INIT(3, "_init");

        private final int number;
        private final String suffix;

        Fork(int number, String suffix) {
            this.number = number;
            this.suffix = suffix;
        }

        /** The highest number. */
        static final int LAST = 3;

        static Fork of(int number) {
            for (Fork fork : values()) {
                if (fork.number == number) {
                    return fork;
                }
            }
            throw new IllegalArgumentException("no fork has this number: number=" + number);
        }

        private static Fork of(String suffix) {
            for (Fork fork : values()) {
                if (fork.suffix.equals(suffix)) {
                    return fork;
                }
            }
            throw new IllegalArgumentException("no fork has this suffix: suffix=" + suffix);
        }
    }

    /** PostgreSQL's BLCKSZ, in bytes. */
    public static final int BLOCK = 8192;

    private static final int SEGMENT_LIMIT = 1 << 24;
    private static final Pattern PATH =
            Pattern.compile("(?:global|base/([0-9]{1,10}))/([0-9]{1,10})(_fsm|_vm|_init)?(?:\\.([0-9]{1,7}))?");

    public RelationFile {
        if (segment < 0 || segment >= SEGMENT_LIMIT) {
            throw new IllegalArgumentException("segment out of bounds: segment=" + segment);
        }
    }

    /** From a path relative to the data directory; empty if that is no relation's, or a temporary one's. */
    public static Optional<RelationFile> parse(String path) {
        Matcher matcher = PATH.matcher(path);
        if (!matcher.matches()) {
            return Optional.empty();
        }
        String database = matcher.group(1);
        String suffix = matcher.group(3);
        String segment = matcher.group(4);
        return Optional.of(new RelationFile(
                database == null ? 0 : Integer.parseUnsignedInt(database),
                Integer.parseUnsignedInt(matcher.group(2)),
                Fork.of(suffix == null ? "" : suffix),
                segment == null ? 0 : Integer.parseInt(segment)));
    }

    /** Relative to the data directory. */
    public String path() {
        String directory = database == 0 ? "global" : "base/" + Integer.toUnsignedString(database);
        return directory + "/" + Integer.toUnsignedString(relation) + fork.suffix + (segment == 0 ? "" : "." + segment);
    }

    /** What an unlogged relation has, and no other. */
    public RelationFile initFork() {
        return new RelationFile(database, relation, Fork.INIT, 0);
    }

    int forkSegment() {
        return (fork.number << 24) | segment;
    }

    /** In the order of the presence map. */
    @Override
    public int compareTo(RelationFile other) {
        int order = Integer.compareUnsigned(database, other.database);
        if (order == 0) {
            order = Integer.compareUnsigned(relation, other.relation);
        }
        return order == 0 ? Integer.compareUnsigned(forkSegment(), other.forkSegment()) : order;
    }
}
