package io.spg99.storage.readthrough;

/**
 * Blocks of one file that follow each other.
 *
 * @param first block number within the file
 * @param count at least 1
 */
public record BlockRange(RelationFile file, int first, int count) {

    public BlockRange {
        if (first < 0 || count < 1) {
            throw new IllegalArgumentException("not a range of blocks: first=" + first + " count=" + count);
        }
    }
}
