package io.spg99.storage.snapshot;

import io.spg99.storage.readthrough.BlockRange;
import io.spg99.storage.readthrough.BlockSource;
import io.spg99.storage.readthrough.RelationFile;
import io.spg99.storage.readthrough.UnreadableBlocksException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** Reads what is missing of a data directory straight out of a snapshot. */
public final class SnapshotBlocks implements BlockSource {

    private final SnapshotReader snapshot;
    private final Executor blocking;

    /** Made when it is first asked for; until it is there only what lies together in a file is known to be together. */
    private final AtomicReference<@Nullable CompletableFuture<LayerContents>> contents = new AtomicReference<>();

    /** @param blocking runs reads of object storage and writes of local files */
    public SnapshotBlocks(SnapshotReader snapshot, Executor blocking) {
        this.snapshot = snapshot;
        this.blocking = blocking;
    }

    @Override
    public CompletionStage<ByteBuffer> read(RelationFile file, int first, int count) {
        return read(List.of(new BlockRange(file, first, count)));
    }

    @Override
    public CompletionStage<ByteBuffer> read(List<BlockRange> pieces) {
        return CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return readNow(pieces);
                    } catch (IOException e) {
                        throw new CompletionException(e);
                    }
                },
                blocking);
    }

    /** What is compressed together: blocks that changed at the same time, wherever they are. */
    @Override
    public List<BlockRange> together(RelationFile relation, int block) {
        return snapshot.manifest()
                .file(relation.path())
                .filter(file -> block < file.blocks())
                .map(file -> together(relation, file, block))
                .orElseGet(() -> List.of(new BlockRange(relation, block, 1)));
    }

    private List<BlockRange> together(RelationFile relation, SnapshotFile file, int block) {
        SnapshotFile.Run run = file.groupAround(block);
        LayerContents known = run.layer() < 0 || run.count() == LayerFormat.GROUP ? null : contents();
        return known == null
                ? List.of(new BlockRange(relation, run.first(), run.count()))
                : known.group(run.layer(), run.position() / LayerFormat.GROUP);
    }

    private @Nullable LayerContents contents() {
        CompletableFuture<LayerContents> made = contents.get();
        if (made == null) {
            made = new CompletableFuture<>();
            if (contents.compareAndSet(null, made)) {
                made.completeAsync(() -> new LayerContents(snapshot.manifest()), blocking);
            }
        }
        return made.isCompletedExceptionally() ? null : made.getNow(null);
    }

    private ByteBuffer readNow(List<BlockRange> pieces) throws IOException {
        ByteBuffer blocks =
                ByteBuffer.allocate(pieces.stream().mapToInt(BlockRange::count).sum() * Blocks.SIZE);
        try {
            snapshot.read(pieces, (block, n, bytes, offset) -> blocks.put(bytes, offset, n * Blocks.SIZE));
        } catch (CorruptSnapshotException e) {
            throw new UnreadableBlocksException("blocks are damaged: first of them=" + pieces.getFirst(), e);
        }
        return blocks.flip();
    }
}
