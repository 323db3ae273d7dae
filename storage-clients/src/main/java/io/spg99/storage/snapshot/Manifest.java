package io.spg99.storage.snapshot;

import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * A snapshot: the complete state of a timeline's files at {@code end}. PostgreSQL started on them as a standby needs the WAL
 * from {@code redo} on.
 *
 * @param systemIdentifier PostgreSQL's, as in the files' {@code pg_control}
 * @param segmentSize      of WAL, in bytes
 * @param image            key of the base image, which holds what never changed
 * @param generation       whose WAL ends at {@code end}
 * @param redo             where PostgreSQL begins to replay
 * @param end              end of the checkpoint record that was the target of redo; no byte here is newer
 * @param madeAtMillis     when it was made, in milliseconds since 1970
 * @param layers           those that {@code files} refer to
 * @param directories      all of them, parents first
 * @param files            by path
 */
public record Manifest(
        TimelineId timeline,
        long systemIdentifier,
        int segmentSize,
        String image,
        int generation,
        Lsn redo,
        Lsn end,
        long madeAtMillis,
        List<Layer> layers,
        List<String> directories,
        List<SnapshotFile> files) {

    public Manifest {
        layers = List.copyOf(layers);
        directories = List.copyOf(directories);
        files = List.copyOf(files);
        if (redo.isAfter(end)) {
            throw new IllegalArgumentException("redo beyond the end: redo=" + redo + " end=" + end);
        }
        directories.forEach(SnapshotFile::requirePath);
        String before = "";
        for (SnapshotFile file : files) {
            if (file.path().compareTo(before) <= 0) {
                throw new IllegalArgumentException("files are not in order: path=" + file.path());
            }
            before = file.path();
            for (SnapshotFile.Run run : file.runs()) {
                requireInLayer(file, run, layers);
            }
        }
    }

    /** What of the files is in layers, uncompressed: bytes. */
    public long storedBytes() {
        return Blocks.SIZE
                * files.stream().mapToLong(SnapshotFile::storedBlocks).sum();
    }

    private static void requireInLayer(SnapshotFile file, SnapshotFile.Run run, List<Layer> layers) {
        boolean exists = run.layer() < 0
                ? run.layer() >= SnapshotFile.ZEROS && run.position() == 0
                : run.layer() < layers.size()
                        && run.position() >= 0
                        && run.position() <= layers.get(run.layer()).blocks() - run.count();
        if (!exists) {
            throw new IllegalArgumentException("blocks that are in no layer: path=" + file.path() + " run=" + run);
        }
    }

    /** Start of the first WAL segment that a server started on these files needs. */
    public Lsn walStart() {
        return redo.segmentStart(segmentSize);
    }

    /** The file of that path, if there is one. */
    public Optional<SnapshotFile> file(String path) {
        int low = 0;
        int high = files.size() - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            int order = files.get(middle).path().compareTo(path);
            if (order == 0) {
                return Optional.of(files.get(middle));
            }
            if (order < 0) {
                low = middle + 1;
            } else {
                high = middle - 1;
            }
        }
        return Optional.empty();
    }

    Map<String, SnapshotFile> filesByPath() {
        Map<String, SnapshotFile> byPath = new HashMap<>();
        files.forEach(file -> byPath.put(file.path(), file));
        return byPath;
    }

    Set<String> layerNames() {
        Set<String> names = new HashSet<>();
        layers.forEach(layer -> names.add(layer.name()));
        return names;
    }

    /** Bytes of all files. */
    public long size() {
        return files.stream().mapToLong(SnapshotFile::size).sum();
    }
}
