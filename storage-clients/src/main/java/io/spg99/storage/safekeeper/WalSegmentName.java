package io.spg99.storage.safekeeper;

import java.util.Optional;
import java.util.regex.Pattern;

/** PostgreSQL's names of WAL segment files. */
public final class WalSegmentName {

    private static final Pattern NAME = Pattern.compile("[0-9A-F]{24}");

    private WalSegmentName() {}

    /** What a name says. */
    public record Parsed(int generation, long number) {}

    /** Empty if that is no name of a segment file. */
    public static Optional<Parsed> parse(String name, int segmentSize) {
        if (!NAME.matcher(name).matches()) {
            return Optional.empty();
        }
        long log = Long.parseLong(name.substring(8, 16), 16);
        long inLog = Long.parseLong(name.substring(16), 16);
        return Optional.of(new Parsed(
                Integer.parseUnsignedInt(name.substring(0, 8), 16), log * (0x1_0000_0000L / segmentSize) + inLog));
    }

    /** Name of the file with segment number {@code segment} as written by {@code generation}. */
    public static String of(int generation, long segment, int segmentSize) {
        long perLogId = 0x1_0000_0000L / segmentSize;
        return "%08X%08X%08X".formatted(generation, segment / perLogId, segment % perLogId);
    }
}
