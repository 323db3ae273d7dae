package io.spg99.nodes.pageserver;

import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.WalFiles;
import io.spg99.storage.safekeeper.WalArchive;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;

/** Fills a timeline's {@link WalArchive}. */
final class WalArchiver {

    private WalArchiver() {}

    /**
     * Archives what is complete and not there yet.
     *
     * @param pgWal   holds the segments of {@code history} from {@code start}, the start of a segment, to {@code end}
     * @param history lineage up to {@code end}, which two Safekeepers have
     */
    static void add(
            WalArchive archive,
            ObjectStore objects,
            Path pgWal,
            WalHistory history,
            int segmentSize,
            Lsn start,
            Lsn end)
            throws IOException {
        Set<String> there = new HashSet<>(objects.list(archive.prefix()));
        for (int i = 1; i < history.terms().size(); i++) {
            WalHistory lineage = new WalHistory(history.terms().subList(0, i + 1));
            String key = archive.prefix() + WalFiles.historyName(lineage.last().generation());
            if (!there.contains(key)) {
                objects.putIfAbsent(key, WalFiles.history(lineage).getBytes(StandardCharsets.US_ASCII));
            }
        }
        for (Lsn at = start; !at.plus(segmentSize).isAfter(end); at = at.plus(segmentSize)) {
            long segment = at.segment(segmentSize);
            String key = archive.key(history, segment);
            if (!there.contains(key)) {
                objects.putIfAbsent(
                        key, pgWal.resolve(key.substring(archive.prefix().length())));
            }
        }
    }
}
