package io.spg99.storage.readthrough;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;

/** A source whose every byte of block n is n + 1. It can be held, and can fail. */
final class PatternSource implements BlockSource {

    /** What was asked for. */
    final List<BlockRange> requests = new CopyOnWriteArrayList<>();

    /** What comes with each other, if one of it is asked for. */
    private volatile List<BlockRange> group = List.of();

    private volatile CompletableFuture<Void> gate = CompletableFuture.completedFuture(null);
    private volatile @Nullable IOException failure;

    /** What fails; null if everything does. */
    private volatile @Nullable BlockRange failing;

    void hold() {
        gate = new CompletableFuture<>();
    }

    void release() {
        gate.complete(null);
    }

    void failWith(@Nullable IOException e) {
        failure = e;
    }

    void failOnly(BlockRange range) {
        failing = range;
    }

    private @Nullable IOException failure(BlockRange asked) {
        BlockRange only = failing;
        return only == null || only.equals(asked) ? failure : null;
    }

    void compressTogether(BlockRange... ranges) {
        group = List.of(ranges);
    }

    @Override
    public List<BlockRange> together(RelationFile file, int block) {
        boolean grouped = group.stream()
                .anyMatch(range ->
                        range.file().equals(file) && block >= range.first() && block < range.first() + range.count());
        return grouped ? group : BlockSource.super.together(file, block);
    }

    /** Sum of the bytes of blocks {@code first} to {@code first + count - 1}. */
    static long sum(int first, int count) {
        long sum = 0;
        for (int block = first; block < first + count; block++) {
            sum += (block + 1L) * RelationFile.BLOCK;
        }
        return sum;
    }

    @Override
    public CompletionStage<ByteBuffer> read(RelationFile file, int first, int count) {
        BlockRange asked = new BlockRange(file, first, count);
        requests.add(asked);
        IOException e = failure(asked);
        if (e != null) {
            return CompletableFuture.failedFuture(e);
        }
        byte[] bytes = new byte[count * RelationFile.BLOCK];
        for (int i = 0; i < count; i++) {
            Arrays.fill(bytes, i * RelationFile.BLOCK, (i + 1) * RelationFile.BLOCK, (byte) (first + i + 1));
        }
        return gate.thenApply(nothing -> {
            IOException late = failure(asked);
            if (late != null) {
                throw new CompletionException(late);
            }
            return ByteBuffer.wrap(bytes);
        });
    }
}
