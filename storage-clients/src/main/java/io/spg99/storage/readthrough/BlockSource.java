package io.spg99.storage.readthrough;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.CompletableFuture;
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

    /**
     * Fetches several pieces at once, as {@link #read(RelationFile, int, int)} does one: what {@link #together} names, or a part of
     * that.
     *
     * @return with the bytes of all of them, in the order of {@code pieces}
     */
    default CompletionStage<ByteBuffer> read(List<BlockRange> pieces) {
        CompletionStage<ByteBuffer> all = CompletableFuture.completedFuture(ByteBuffer.allocate(0));
        for (BlockRange piece : pieces) {
            all = all.thenCombine(read(piece.file(), piece.first(), piece.count()), BlockSource::join);
        }
        return all;
    }

    private static ByteBuffer join(ByteBuffer one, ByteBuffer other) {
        return ByteBuffer.allocate(one.remaining() + other.remaining())
                .put(one)
                .put(other)
                .flip();
    }

    /**
     * The blocks that come at no cost worth mentioning when {@code block} does, and that one: of any file, {@link
     * ReadThrough#MOST_BLOCKS} at most. Called by the agent's one thread.
     */
    default List<BlockRange> together(RelationFile file, int block) {
        return List.of(new BlockRange(file, block, 1));
    }
}
