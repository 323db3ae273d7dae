package io.spg99.compute.image;

import com.github.luben.zstd.Zstd;
import com.github.luben.zstd.ZstdInputStream;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.readthrough.BlockRange;
import io.spg99.storage.readthrough.RelationFile;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Which blocks a generation has read: one object, {@code timelines/<id>/hot/<generation>-<number>}, written at its
 * end and for each candidate. A line for each
 * range: its file, first block, number of blocks; those of the start, an empty line, all. It is advice: anything it says may be
 * wrong by the time it is followed.
 */
final class HotBlocks {

    /** 100,000 ranges, some 3 MB. */
    private static final int MOST_BYTES = 4 << 20;

    private static final Pattern LINE = Pattern.compile("([a-z0-9/_.]{1,60}) ([0-9]{1,9}) ([0-9]{1,9})");

    private final ObjectStore objects;
    private final String prefix;

    /**
     * @param atStart read by a start and its first connections
     * @param hot     read, and still there
     */
    record Remembered(List<BlockRange> atStart, List<BlockRange> hot) {

        static final Remembered NOTHING = new Remembered(List.of(), List.of());

        Remembered {
            atStart = List.copyOf(atStart);
            hot = List.copyOf(hot);
        }
    }

    HotBlocks(ObjectStore objects, TimelineId timeline) {
        this.objects = objects;
        this.prefix = "timelines/" + timeline + "/hot/";
    }

    /** What was remembered last. Blocks. */
    Remembered newest() throws IOException {
        List<String> keys = objects.list(prefix);
        if (keys.isEmpty()) {
            return Remembered.NOTHING;
        }
        try (InputStream in = new ZstdInputStream(objects.open(keys.getLast()))) {
            return parse(new String(in.readNBytes(MOST_BYTES), StandardCharsets.US_ASCII));
        }
    }

    /**
     * Replaces what was remembered before. Blocks.
     *
     * @param number of those of this generation
     */
    void remember(int generation, int number, Remembered remembered) throws IOException {
        List<String> before = objects.list(prefix);
        String key = prefix + "%08X-%08X".formatted(generation, number);
        byte[] content = format(remembered).getBytes(StandardCharsets.US_ASCII);
        if (content.length <= MOST_BYTES) {
            objects.putIfAbsent(key, Zstd.compress(content));
            for (String old : before) {
                if (old.compareTo(key) < 0) {
                    objects.delete(old);
                }
            }
        }
    }

    private static String format(Remembered remembered) {
        StringBuilder text = new StringBuilder();
        remembered.atStart().forEach(range -> append(text, range));
        text.append('\n');
        remembered.hot().forEach(range -> append(text, range));
        return text.toString();
    }

    /** Free space maps come from the estate: what is fetched must not be in its way. */
    private static void append(StringBuilder text, BlockRange range) {
        if (range.file().fork() != RelationFile.Fork.FREE_SPACE_MAP) {
            text.append(range.file().path())
                    .append(' ')
                    .append(range.first())
                    .append(' ')
                    .append(range.count())
                    .append('\n');
        }
    }

    private static Remembered parse(String text) {
        List<BlockRange> atStart = new ArrayList<>();
        List<BlockRange> hot = new ArrayList<>();
        List<BlockRange> into = atStart;
        for (String line : text.split("\n", -1)) {
            if (line.isEmpty()) {
                into = hot;
            }
            Matcher parts = LINE.matcher(line);
            if (parts.matches()) {
                Optional<RelationFile> file = RelationFile.parse(parts.group(1));
                int first = Integer.parseInt(parts.group(2));
                int count = Integer.parseInt(parts.group(3));
                if (file.isPresent() && count > 0) {
                    into.add(new BlockRange(file.get(), first, count));
                }
            }
        }
        return new Remembered(atStart, hot);
    }
}
