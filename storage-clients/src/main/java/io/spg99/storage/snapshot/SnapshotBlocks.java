package io.spg99.storage.snapshot;

import io.spg99.storage.readthrough.BlockRange;
import io.spg99.storage.readthrough.BlockSource;
import io.spg99.storage.readthrough.RelationFile;
import io.spg99.storage.readthrough.UnreadableBlocksException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executor;

/** Reads what is missing of a data directory straight out of a snapshot. */
public final class SnapshotBlocks implements BlockSource {

    private final SnapshotReader snapshot;
    private final Executor blocking;

    /** @param blocking runs reads of object storage and writes of local files */
    public SnapshotBlocks(SnapshotReader snapshot, Executor blocking) {
        this.snapshot = snapshot;
        this.blocking = blocking;
    }

    @Override
    public CompletionStage<ByteBuffer> read(RelationFile file, int first, int count) {
        return CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return readNow(file, first, count);
                    } catch (IOException e) {
                        throw new CompletionException(e);
                    }
                },
                blocking);
    }

    /** What is compressed together, as far as it lies together in the file. */
    @Override
    public BlockRange together(RelationFile relation, int block) {
        return snapshot.manifest()
                .file(relation.path())
                .filter(file -> block < file.blocks())
                .map(file -> {
                    SnapshotFile.Run run = file.groupAround(block);
                    return new BlockRange(relation, run.first(), run.count());
                })
                .orElseGet(() -> new BlockRange(relation, block, 1));
    }

    private ByteBuffer readNow(RelationFile relation, int first, int count) throws IOException {
        SnapshotFile file = snapshot.manifest()
                .file(relation.path())
                .orElseThrow(() -> new IOException("snapshot has no such file: path=" + relation.path()));
        ByteBuffer blocks = ByteBuffer.allocate(count * Blocks.SIZE);
        try {
            snapshot.read(file, first, count, (block, n, bytes, offset) -> blocks.put(bytes, offset, n * Blocks.SIZE));
        } catch (CorruptSnapshotException e) {
            throw new UnreadableBlocksException("blocks are damaged: path=" + relation.path(), e);
        }
        return blocks.flip();
    }
}
