package io.spg99.compute.generation;

import io.spg99.compute.image.BaseImages;
import io.spg99.storage.readthrough.ReadThroughFigures;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import java.util.Optional;

/**
 * What the agent of a generation tells the extension spg99 every second: JSON in a file of PGDATA, which a function of the
 * extension reads.
 *
 * <p>It is written over in place, as a new file each second would slow the starts of others (ext4 without a journal). So that a
 * reader who comes in the middle finds valid JSON too, all numbers are padded: whatever is said, every character but a digit
 * stays where it was.
 */
record AgentStatus(
        int generation, String profile, String timeline, Lsn snapshot, long cacheLimit, ReadThroughFigures cache) {

    /** @param cache empty if nothing is read through */
    static AgentStatus of(GenerationSpec spec, Lsn snapshot, Optional<ReadThroughFigures> cache) {
        return new AgentStatus(
                spec.generation(),
                spec.profile().name(),
                spec.base().timeline().value(),
                snapshot,
                spec.profile().cacheLimitBytes(),
                cache.orElse(ReadThroughFigures.NONE));
    }

    String json() {
        return String.format(
                Locale.ROOT,
                "{\"generation\":%10d,\"profile\":\"%s\",\"timeline\":\"%s\",\"snapshot_lsn\":%20s,"
                        + "\"cache_hits\":%19d,\"cache_misses\":%19d,\"cache_read_ahead\":%19d,\"cache_evictions\":%19d,"
                        + "\"cache_resident\":%19d,\"cache_changed\":%19d,\"cache_limit\":%19d}%n",
                generation,
                profile,
                timeline,
                Long.toUnsignedString(snapshot.value()),
                cache.hits(),
                cache.misses(),
                cache.aheadBlocks(),
                cache.evictedBlocks(),
                cache.residentBlocks(),
                cache.dirtyBlocks(),
                cacheLimit);
    }

    void write(Path pgdata) throws IOException {
        Path file = pgdata.resolve(BaseImages.STATUS_FILE);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.wrap(json().getBytes(StandardCharsets.US_ASCII)), 0);
        }
    }
}
