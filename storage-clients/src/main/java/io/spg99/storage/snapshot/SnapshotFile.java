package io.spg99.storage.snapshot;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * One file of a snapshot.
 *
 * @param path relative to the data directory, as in {@code base/16384/2619_vm}
 * @param size in bytes
 * @param runs where its blocks are; together exactly the blocks that {@code size} takes, in order
 */
public record SnapshotFile(String path, long size, List<Run> runs) {

    private static final Pattern PATH =
            Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,7}");
    private static final int LONGEST_PATH = 255;

    /** Neither of them is a layer: the same block of the same file in the base image; nothing but zeros. */
    static final int IMAGE = -1;

    static final int ZEROS = -2;

    /**
     * Blocks that follow each other both in the file and in a layer.
     *
     * @param first    block number in the file
     * @param count    number of blocks
     * @param layer    index in {@link Manifest#layers}, or {@link #IMAGE}, or {@link #ZEROS}
     * @param position block number in the layer; 0 without one
     */
    public record Run(int first, int count, int layer, int position) {

        boolean isIn(int aLayer) {
            return layer == aLayer;
        }

        int end() {
            return first + count;
        }
    }

    public SnapshotFile {
        runs = List.copyOf(runs);
        requirePath(path);
        if (size < 0 || size > (long) LayerFormat.MOST_BLOCKS * Blocks.SIZE) {
            throw new IllegalArgumentException("size out of bounds: path=" + path + " size=" + size);
        }
        int next = 0;
        for (Run run : runs) {
            if (run.first() != next || run.count() < 1 || run.count() > LayerFormat.MOST_BLOCKS - next) {
                throw new IllegalArgumentException("runs are not in order: path=" + path + " run=" + run);
            }
            next = run.end();
        }
        if (next != Blocks.count(size)) {
            throw new IllegalArgumentException("runs do not make up the file: path=" + path + " expectedBlocks="
                    + Blocks.count(size) + " actual=" + next);
        }
    }

    static void requirePath(String path) {
        if (path.length() > LONGEST_PATH || !PATH.matcher(path).matches()) {
            throw new IllegalArgumentException("not a path in a data directory: path=" + path);
        }
    }

    /**
     * Whether the base image has this file as it is.
     *
     * @param stamp of the file in the image; null if it has none of that name
     */
    boolean isInImage(DataDirectory.@Nullable Stamp stamp) {
        return stamp != null && stamp.size() == size && runs.stream().allMatch(run -> run.isIn(IMAGE));
    }

    int blocks() {
        return Blocks.count(size);
    }

    /** Blocks that are in layers. */
    long storedBlocks() {
        return runs.stream()
                .filter(run -> !run.isIn(IMAGE) && !run.isIn(ZEROS))
                .mapToLong(Run::count)
                .sum();
    }

    /** Where {@code count} blocks from block number {@code first} on are, in order; the file has them. */
    List<Run> runs(int first, int count) {
        int end = first + count;
        if (first < 0 || count < 0 || end > blocks()) {
            throw new IllegalArgumentException(
                    "blocks out of bounds: path=" + path + " first=" + first + " count=" + count);
        }
        List<Run> parts = new ArrayList<>();
        int next = first;
        for (int i = runOf(first); next < end; i++) {
            Run run = runs.get(i);
            int part = Math.min(run.end(), end) - next;
            parts.add(new Run(next, part, run.layer(), run.position() + next - run.first()));
            next += part;
        }
        return parts;
    }

    /** The part of a run around {@code block}, which the file has, that is in one group of a layer. */
    Run groupAround(int block) {
        Run run = runs.get(runOf(block));
        int inGroup = Math.floorMod(run.position() + block - run.first(), LayerFormat.GROUP);
        int first = Math.max(run.first(), block - inGroup);
        int end = Math.min(run.end(), block - inGroup + LayerFormat.GROUP);
        return new Run(first, end - first, run.layer(), run.position() + first - run.first());
    }

    /** Index of the run that holds block number {@code block}, which the file has. */
    int runOf(int block) {
        int low = 0;
        int high = runs.size() - 1;
        while (low < high) {
            int middle = (low + high + 1) >>> 1;
            if (runs.get(middle).first() <= block) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return low;
    }
}
