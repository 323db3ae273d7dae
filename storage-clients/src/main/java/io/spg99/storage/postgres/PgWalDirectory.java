package io.spg99.compute.generation;

import io.spg99.storage.postgres.WalFiles;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;

/** The {@code pg_wal} a generation starts with: checks what was fetched, and makes recovery end exactly at R. */
final class PgWalDirectory {

    private PgWalDirectory() {}

    /**
     * Checks that all WAL from the base's start to R is there and belongs to this timeline, and clears what follows R:
     * recovery ends where it finds zeros instead of a record.
     *
     * @throws IOException if a segment is missing, too short or of another database
     */
    static void prepare(GenerationSpec spec, Recovery recovery, Path pgWal) throws IOException {
        int segmentSize = spec.base().segmentSize();
        Lsn start = spec.base().start();
        Lsn end = recovery.end();
        if (end.isBefore(spec.base().end())) {
            throw new IOException("WAL would end before the image does: end=" + end + " image="
                    + spec.base().end());
        }
        for (Lsn at = start; at.isBefore(end); at = at.plus(segmentSize)) {
            long segment = at.segment(segmentSize);
            int generation = recovery.history().generationOfSegment(segment, segmentSize);
            Path file = pgWal.resolve(WalFiles.segmentName(generation, segment, segmentSize));
            long needed = Math.min(segmentSize, end.minus(at));
            if (!Files.exists(file) || Files.size(file) < needed) {
                throw new IOException("WAL is incomplete: segment=" + file.getFileName() + " expectedBytes=" + needed
                        + " actualBytes=" + (Files.exists(file) ? Files.size(file) : 0));
            }
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
                check(spec, file, channel, at);
                if (needed < segmentSize) {
                    channel.truncate(needed);
                }
                if (channel.size() < segmentSize) {
                    channel.write(ByteBuffer.wrap(new byte[1]), segmentSize - 1L);
                }
            }
        }
    }

    private static void check(GenerationSpec spec, Path file, FileChannel channel, Lsn at) throws IOException {
        ByteBuffer page = ByteBuffer.allocate(WalFiles.LONG_HEADER);
        channel.read(page, 0);
        WalFiles.SegmentHeader header = WalFiles.SegmentHeader.read(page.array());
        if (header.magic() != WalFiles.PAGE_MAGIC
                || !header.address().equals(at)
                || header.segmentSize() != spec.base().segmentSize()) {
            throw new IOException(
                    "WAL is damaged: segment=" + file.getFileName() + " expectedAddress=" + at + " actual=" + header);
        }
        if (header.systemIdentifier() != spec.base().systemIdentifier()) {
            throw new IOException("WAL belongs to another database: segment=" + file.getFileName()
                    + " expectedSystemIdentifier="
                    + Long.toUnsignedString(spec.base().systemIdentifier())
                    + " actual=" + Long.toUnsignedString(header.systemIdentifier()));
        }
    }

    /**
     * Writes the history files PostgreSQL looks for: its parent's, which tells the whole lineage, and empty ones for the
     * numbers between the parent and the new generation, so that PostgreSQL takes the next free number, which is ours.
     */
    static void writeHistoryFiles(GenerationSpec spec, Recovery recovery, Path pgWal) throws IOException {
        List<WalHistory.Term> terms = recovery.history().terms();
        if (terms.size() > 1) {
            StringBuilder content = new StringBuilder();
            for (int i = 1; i < terms.size(); i++) {
                content.append(terms.get(i - 1).generation())
                        .append('\t')
                        .append(terms.get(i).begin())
                        .append("\tnew generation\n");
            }
            Files.writeString(
                    pgWal.resolve(WalFiles.historyName(recovery.parent())), content, StandardCharsets.US_ASCII);
        }
        for (int skipped = recovery.parent() + 1; skipped < spec.generation(); skipped++) {
            Files.createFile(pgWal.resolve(WalFiles.historyName(skipped)));
        }
    }

    /**
     * Checks the history file that PostgreSQL wrote when it ended recovery: it must continue the parent at exactly R.
     *
     * @throws IOException if it does not, or there is none
     */
    static void verifyHistory(GenerationSpec spec, Recovery recovery, Path pgWal) throws IOException {
        Path file = pgWal.resolve(WalFiles.historyName(spec.generation()));
        if (!Files.exists(file)) {
            throw new IOException("recovery did not end on the new generation: missing=" + file.getFileName());
        }
        List<String> lines = Files.readAllLines(file, StandardCharsets.UTF_8).stream()
                .filter(line -> !line.isBlank() && !line.startsWith("#"))
                .toList();
        String expected = recovery.parent() + "\t" + recovery.end() + "\t";
        String actual = lines.isEmpty() ? "" : lines.getLast();
        if (!actual.startsWith(expected)) {
            throw new IOException("recovery did not end where the timeline ends: expected=generation "
                    + recovery.parent() + " at " + recovery.end() + " actual=" + actual.replace('\t', ' '));
        }
    }
}
