package io.spg99.storage.postgres;

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

/**
 * The {@code pg_wal} a server starts to recover with: checks what was fetched, and makes recovery end exactly where the WAL
 * is to end.
 *
 * @param systemIdentifier of the database it must belong to
 * @param segmentSize      WAL segment size in bytes
 * @param history          lineage up to {@code end}
 * @param start            start of the first segment
 * @param end              recovery finds no record from here on
 */
public record PgWalDirectory(
        Path directory, long systemIdentifier, int segmentSize, WalHistory history, Lsn start, Lsn end) {

    private int parent() {
        return history.last().generation();
    }

    /**
     * Checks that all WAL is there and belongs to this database, and clears what follows the end: recovery ends where it
     * finds zeros instead of a record.
     *
     * @throws IOException if a segment is missing, too short or of another database
     */
    public void prepare() throws IOException {
        for (Lsn at = start; at.isBefore(end); at = at.plus(segmentSize)) {
            long segment = at.segment(segmentSize);
            int generation = history.generationOfSegment(segment, segmentSize);
            Path file = directory.resolve(WalFiles.segmentName(generation, segment, segmentSize));
            long needed = Math.min(segmentSize, end.minus(at));
            if (!Files.exists(file) || Files.size(file) < needed) {
                throw new IOException("WAL is incomplete: segment=" + file.getFileName() + " expectedBytes=" + needed
                        + " actualBytes=" + (Files.exists(file) ? Files.size(file) : 0));
            }
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
                check(file, channel, at);
                if (needed < segmentSize) {
                    channel.truncate(needed);
                }
                if (channel.size() < segmentSize) {
                    channel.write(ByteBuffer.wrap(new byte[1]), segmentSize - 1L);
                }
            }
        }
    }

    private void check(Path file, FileChannel channel, Lsn at) throws IOException {
        ByteBuffer page = ByteBuffer.allocate(WalFiles.LONG_HEADER);
        channel.read(page, 0);
        WalFiles.SegmentHeader header = WalFiles.SegmentHeader.read(page.array());
        if (header.magic() != WalFiles.PAGE_MAGIC
                || !header.address().equals(at)
                || header.segmentSize() != segmentSize) {
            throw new IOException(
                    "WAL is damaged: segment=" + file.getFileName() + " expectedAddress=" + at + " actual=" + header);
        }
        if (header.systemIdentifier() != systemIdentifier) {
            throw new IOException("WAL belongs to another database: segment=" + file.getFileName()
                    + " expectedSystemIdentifier=" + Long.toUnsignedString(systemIdentifier)
                    + " actual=" + Long.toUnsignedString(header.systemIdentifier()));
        }
    }

    /** Writes the history file of the last generation of the lineage, which tells all of it. */
    public void writeHistory() throws IOException {
        String content = WalFiles.history(history);
        if (!content.isEmpty()) {
            Files.writeString(directory.resolve(WalFiles.historyName(parent())), content, StandardCharsets.US_ASCII);
        }
    }

    /**
     * Besides {@link #writeHistory} makes empty history files for the numbers between the parent and {@code generation}, so that
     * PostgreSQL takes the next free number, {@code generation}, for its own TLI.
     */
    public void writeHistories(int generation) throws IOException {
        writeHistory();
        for (int skipped = parent() + 1; skipped < generation; skipped++) {
            Files.createFile(directory.resolve(WalFiles.historyName(skipped)));
        }
    }

    /**
     * Checks the history file that PostgreSQL wrote when it ended recovery: it must continue the parent at exactly the end.
     *
     * @throws IOException if it does not, or there is none
     */
    public void verifyHistory(int generation) throws IOException {
        Path file = directory.resolve(WalFiles.historyName(generation));
        if (!Files.exists(file)) {
            throw new IOException("recovery did not end on the new generation: missing=" + file.getFileName());
        }
        List<String> lines = Files.readAllLines(file, StandardCharsets.UTF_8).stream()
                .filter(line -> !line.isBlank() && !line.startsWith("#"))
                .toList();
        String expected = parent() + "\t" + end + "\t";
        String actual = lines.isEmpty() ? "" : lines.getLast();
        if (!actual.startsWith(expected)) {
            throw new IOException("recovery did not end where the timeline ends: expected=generation " + parent()
                    + " at " + end + " actual=" + actual.replace('\t', ' '));
        }
    }
}
