package io.spg99.nodes.pageserver;

import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.WalFiles;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;

/**
 * A timeline's WAL in object storage, below {@code timelines/<id>/wal/} under PostgreSQL's own names: complete segments, and
 * history files, as {@code restore_command} asks for them. A segment in which a generation begins is there under the name of
 * the last one that begins in it, as its head is a copy.
 */
final class WalArchive {

    private final ObjectStore objects;
    private final String prefix;

    WalArchive(ObjectStore objects, TimelineId timeline) {
        this.objects = objects;
        this.prefix = "timelines/" + timeline + "/wal/";
    }

    /**
     * Archives what is complete and not there yet.
     *
     * @param pgWal   holds the segments of {@code history} from {@code start}, the start of a segment, to {@code end}
     * @param history lineage up to {@code end}, which two Safekeepers have
     * @return end of the last complete segment
     */
    Lsn add(Path pgWal, WalHistory history, int segmentSize, Lsn start, Lsn end) throws IOException {
        Set<String> there = new HashSet<>(objects.list(prefix));
        for (int i = 1; i < history.terms().size(); i++) {
            WalHistory lineage = new WalHistory(history.terms().subList(0, i + 1));
            String key = prefix + WalFiles.historyName(lineage.last().generation());
            if (!there.contains(key)) {
                objects.putIfAbsent(key, WalFiles.history(lineage).getBytes(StandardCharsets.US_ASCII));
            }
        }
        Lsn at = start;
        while (!at.plus(segmentSize).isAfter(end)) {
            long segment = at.segment(segmentSize);
            String name = WalFiles.segmentName(history.generationOfSegment(segment, segmentSize), segment, segmentSize);
            if (!there.contains(prefix + name)) {
                objects.putIfAbsent(prefix + name, pgWal.resolve(name));
            }
            at = at.plus(segmentSize);
        }
        return at;
    }
}
