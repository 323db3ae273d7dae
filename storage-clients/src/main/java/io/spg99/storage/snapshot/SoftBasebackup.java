package io.spg99.storage.snapshot;

import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.readthrough.RelationFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * The thin startup image of a snapshot: what PostgreSQL must find on its disk, and a table of everything else, which is read
 * through.
 */
public final class SoftBasebackup {

    private SoftBasebackup() {}

    /**
     * Makes directories and all files that are no relations. Init forks of unlogged relations are made too, and these relations'
     * other forks left out: recovery makes them anew from the init forks. Blocks for as long as that takes.
     *
     * @param pgdata exists, is empty, belongs to {@code user}
     * @return the files to be read through, and their sizes in blocks
     */
    public static SortedMap<RelationFile, Integer> lay(SnapshotReader snapshot, Path pgdata, OsUser user)
            throws IOException {
        Manifest manifest = snapshot.manifest();
        for (String path : manifest.directories()) {
            Path directory = pgdata.resolve(path);
            Files.createDirectory(
                    directory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
            user.own(directory);
        }
        Set<RelationFile> unlogged = unlogged(manifest);
        DataDirectory directory = new DataDirectory(pgdata);
        SortedMap<RelationFile, Integer> sizes = new TreeMap<>();
        for (SnapshotFile file : manifest.files()) {
            Optional<RelationFile> relation = RelationFile.parse(file.path());
            if (relation.isEmpty() || relation.get().fork() == RelationFile.Fork.INIT) {
                directory.write(snapshot, file, user);
            } else if (!unlogged.contains(relation.get().initFork())) {
                sizes.put(relation.get(), file.blocks());
            }
        }
        return sizes;
    }

    /** All init forks. */
    private static Set<RelationFile> unlogged(Manifest manifest) {
        Set<RelationFile> found = new HashSet<>();
        for (SnapshotFile file : manifest.files()) {
            RelationFile.parse(file.path())
                    .filter(relation -> relation.fork() == RelationFile.Fork.INIT)
                    .ifPresent(found::add);
        }
        return found;
    }
}
