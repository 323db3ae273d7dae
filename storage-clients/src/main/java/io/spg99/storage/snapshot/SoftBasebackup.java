package io.spg99.storage.snapshot;

import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.readthrough.BlockRange;
import io.spg99.storage.readthrough.ReadThrough;
import io.spg99.storage.readthrough.RelationFile;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * The thin startup image of a snapshot: what PostgreSQL must find on its disk, and a table of everything else, which is read
 * through.
 *
 * @param sizes   the files to be read through, in blocks
 * @param there   of these, the ones that are on the disk already, of the right size
 * @param present of their blocks, those that the base image has as the snapshot does
 */
public record SoftBasebackup(
        SortedMap<RelationFile, Integer> sizes, Set<RelationFile> there, List<BlockRange> present) {

    /**
     * Makes directories and all files that are no relations. Init forks of unlogged relations are made too, and these relations'
     * other forks left out: recovery makes them anew from the init forks. Files that the base image has as they are stay as they
     * are, and are not in the table. Blocks for as long as that takes.
     *
     * @param pgdata a copy of the base image that was not used since, or an empty directory; belongs to {@code user}
     * @param image  what {@code pgdata} holds
     */
    public static SoftBasebackup lay(SnapshotReader snapshot, Path pgdata, DataDirectory.Content image, OsUser user)
            throws IOException {
        Manifest manifest = snapshot.manifest();
        Set<RelationFile> unlogged = unlogged(manifest);
        DataDirectory directory = new DataDirectory(pgdata);
        directory.makeSameNames(manifest, image, user);
        SoftBasebackup made = new SoftBasebackup(new TreeMap<>(), new HashSet<>(), new ArrayList<>());
        for (SnapshotFile file : manifest.files()) {
            DataDirectory.Stamp stamp = image.files().get(file.path());
            if (file.isInImage(stamp)) {
                continue;
            }
            Optional<RelationFile> relation = RelationFile.parse(file.path());
            if (relation.isEmpty() || relation.get().fork() == RelationFile.Fork.INIT) {
                directory.write(snapshot, file, user);
            } else if (!unlogged.contains(relation.get().initFork())) {
                made.sizes.put(relation.get(), file.blocks());
                if (stamp != null) {
                    made.keep(pgdata, file, stamp, relation.get());
                }
            }
        }
        return made;
    }

    /** Uses what the image has of a file. */
    private void keep(Path pgdata, SnapshotFile file, DataDirectory.Stamp stamp, RelationFile relation)
            throws IOException {
        there.add(relation);
        if (stamp.size() != file.size()) {
            try (RandomAccessFile resized =
                    new RandomAccessFile(pgdata.resolve(file.path()).toFile(), "rw")) {
                resized.setLength(file.size());
            }
        }
        for (SnapshotFile.Run run : file.runs()) {
            if (run.isIn(SnapshotFile.IMAGE)) {
                present.add(new BlockRange(relation, run.first(), run.count()));
            }
        }
    }

    /**
     * The files to be listed of a directory that has all of a snapshot, in blocks: those that the base image does not have as they
     * are, but for free space maps and visibility maps, which are small and are looked after by nobody there.
     *
     * @param image of the directory before
     */
    public static SortedMap<RelationFile, Integer> whole(Manifest manifest, DataDirectory.Content image) {
        Set<RelationFile> unlogged = unlogged(manifest);
        SortedMap<RelationFile, Integer> sizes = new TreeMap<>();
        for (SnapshotFile file : manifest.files()) {
            if (!file.isInImage(image.files().get(file.path()))) {
                RelationFile.parse(file.path())
                        .filter(relation ->
                                relation.fork() == RelationFile.Fork.MAIN && !unlogged.contains(relation.initFork()))
                        .ifPresent(relation -> sizes.put(relation, file.blocks()));
            }
        }
        return sizes;
    }

    /** Tells the agent, which was made with {@link #sizes}, what is there. To be called before PostgreSQL starts. */
    public void tell(ReadThrough agent) {
        there.forEach(agent::present);
        present.forEach(agent::present);
    }

    /** All init forks. */
    private static Set<RelationFile> unlogged(Manifest manifest) {
        Set<RelationFile> found = new HashSet<>();
        for (SnapshotFile file : manifest.files()) {
            if (file.path().contains("_init")) {
                RelationFile.parse(file.path())
                        .filter(relation -> relation.fork() == RelationFile.Fork.INIT)
                        .ifPresent(found::add);
            }
        }
        return found;
    }
}
