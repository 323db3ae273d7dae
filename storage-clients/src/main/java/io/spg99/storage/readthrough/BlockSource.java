package io.spg99.storage.readthrough;

import java.nio.ByteBuffer;
import java.util.concurrent.CompletionStage;

/** Port: whoever has the blocks that are not on the local disk. */
@FunctionalInterface
public interface BlockSource {

    /**
     * Fetches blocks of one file. Called by the agent's one thread: returns at once, or holds up all other requests of this
     * data directory. The result is completed by a thread that may block for as long as it takes to write the blocks to a
     * local file. Any failure is tried again, until the read that waits for it is given up, but for {@link UnreadableBlocksException}.
     *
     * @param count at most {@link ReadThrough#MOST_BLOCKS}
     * @return with {@code count * RelationFile.BLOCK} bytes remaining; the agent reads them, and keeps nothing of it
     */
    CompletionStage<ByteBuffer> read(RelationFile file, int first, int count);

    /** The blocks around {@code block} that come at no cost worth mentioning when that one does. Called by the agent's one thread. */
    default BlockRange together(RelationFile file, int block) {
        return new BlockRange(file, block, 1);
    }
}
