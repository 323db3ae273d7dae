package io.spg99.storage.snapshot;

import io.spg99.storage.readthrough.BlockRange;
import io.spg99.storage.readthrough.RelationFile;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * What is where in the layers of a manifest: the manifest the other way round. For any thread. Takes 8 bytes for each run, and a
 * sort of all of them.
 */
final class LayerContents {

    private final Manifest manifest;

    /** Number of each file's first run, counted through all files; then of the run after the last. */
    private final int[] firstRuns;

    /** For each layer its runs, in the order of positions: position &lt;&lt; 32 | number. */
    private final long[][] runs;

    LayerContents(Manifest manifest) {
        this.manifest = manifest;
        List<SnapshotFile> files = manifest.files();
        int[] counts = new int[manifest.layers().size()];
        firstRuns = new int[files.size() + 1];
        for (int i = 0; i < files.size(); i++) {
            firstRuns[i + 1] = Math.addExact(firstRuns[i], files.get(i).runs().size());
            for (SnapshotFile.Run run : files.get(i).runs()) {
                if (run.layer() >= 0) {
                    counts[run.layer()]++;
                }
            }
        }
        runs = new long[counts.length][];
        Arrays.setAll(runs, layer -> new long[counts[layer]]);
        int number = 0;
        for (SnapshotFile file : files) {
            for (SnapshotFile.Run run : file.runs()) {
                if (run.layer() >= 0) {
                    long[] of = runs[run.layer()];
                    of[of.length - counts[run.layer()]--] = (long) run.position() << 32 | number;
                }
                number++;
            }
        }
        for (long[] of : runs) {
            Arrays.sort(of);
        }
    }

    /** The blocks of relation files that are in one group of a layer, in the order in which they are there. */
    List<BlockRange> group(int layer, int group) {
        long[] of = runs[layer];
        int first = group * LayerFormat.GROUP;
        int end = first + LayerFormat.GROUP;
        int next = Arrays.binarySearch(of, (long) first << 32);
        next = next >= 0 ? next : Math.max(0, -next - 2); // the run before may reach into the group
        List<BlockRange> found = new ArrayList<>();
        for (; next < of.length && of[next] >>> 32 < end; next++) {
            int number = (int) of[next];
            int file = fileOf(number);
            SnapshotFile in = manifest.files().get(file);
            SnapshotFile.Run run = in.runs().get(number - firstRuns[file]);
            int from = Math.max(first, run.position());
            int to = Math.min(end, run.position() + run.count());
            Optional<RelationFile> relation = from < to ? RelationFile.parse(in.path()) : Optional.empty();
            relation.ifPresent(one -> found.add(new BlockRange(one, run.first() + from - run.position(), to - from)));
        }
        return found;
    }

    /** Files without runs share their number with the one after them, which has it. */
    private int fileOf(int number) {
        int low = 0;
        int high = firstRuns.length - 2;
        while (low < high) {
            int middle = (low + high + 1) >>> 1;
            if (firstRuns[middle] <= number) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return low;
    }
}
