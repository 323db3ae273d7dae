package io.spg99.storage.readthrough;

import java.time.Duration;

/**
 * What one data directory's cache has done since it was opened. Blocks are 8 kB.
 *
 * @param hits           blocks that reads of PostgreSQL found local, since the directory was made; some hundreds per process behind
 * @param misses         blocks that a read had to wait for
 * @param waited         by all those reads together
 * @param fetchedBlocks  fetched for any reason, reading ahead included
 * @param aheadBlocks    fetched because a process was expected to read them soon
 * @param failedReads    reads that ended with an I/O error
 * @param evictedBlocks  given back
 * @param residentBlocks of the snapshot's files, local now
 * @param dirtyBlocks    of these, newer than the snapshot
 * @param totalBlocks    of the snapshot's files
 */
public record ReadThroughFigures(
        long hits,
        long misses,
        Duration waited,
        long fetchedBlocks,
        long aheadBlocks,
        long failedReads,
        long evictedBlocks,
        long residentBlocks,
        long dirtyBlocks,
        long totalBlocks) {

    public static final ReadThroughFigures NONE = new ReadThroughFigures(0, 0, Duration.ZERO, 0, 0, 0, 0, 0, 0, 0);

    /** Of two data directories. */
    public ReadThroughFigures plus(ReadThroughFigures other) {
        return new ReadThroughFigures(
                hits + other.hits,
                misses + other.misses,
                waited.plus(other.waited),
                fetchedBlocks + other.fetchedBlocks,
                aheadBlocks + other.aheadBlocks,
                failedReads + other.failedReads,
                evictedBlocks + other.evictedBlocks,
                residentBlocks + other.residentBlocks,
                dirtyBlocks + other.dirtyBlocks,
                totalBlocks + other.totalBlocks);
    }

    /** What it has done, when nothing of it is there any more. */
    public ReadThroughFigures ended() {
        return new ReadThroughFigures(
                hits, misses, waited, fetchedBlocks, aheadBlocks, failedReads, evictedBlocks, 0, 0, 0);
    }
}
