package io.spg99.storage.snapshot;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.safekeeper.TimelineBase;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/** A PostgreSQL data directory as snapshots see it. */
public final class DataDirectory {

    /** Directories at the top of which everything is kept. Of all others only the directory itself is. */
    private static final Set<String> KEPT = Set.of(
            "base", "global", "pg_commit_ts", "pg_logical", "pg_multixact", "pg_replslot", "pg_twophase", "pg_xact");

    private static final String VERSION_FILE = "PG_VERSION";

    /** Temporary relations and sort files; what PostgreSQL itself removes when it begins to recover. */
    private static final Pattern TRANSIENT =
            Pattern.compile("(.*/)?(t[0-9]+_[0-9]+.*|pgsql_tmp.*|pg_internal\\.init.*|[^/]*\\.tmp)");

    private final Path root;

    public DataDirectory(Path root) {
        this.root = root;
    }

    Path root() {
        return root;
    }

    /** What tells whether a file was written to. */
    public record Stamp(long size, long modifiedNanos) {}

    /** What a directory holds that belongs into a snapshot. */
    public record Content(List<String> directories, Map<String, Stamp> files) {}

    private static boolean isKept(String path) {
        int slash = path.indexOf('/');
        String top = slash < 0 ? path : path.substring(0, slash);
        return (slash < 0 ? path.equals(VERSION_FILE) : KEPT.contains(top))
                && !TRANSIENT.matcher(path).matches();
    }

    /** What is there now, to tell later what was written to since. */
    public Content content() throws IOException {
        List<String> directories = new ArrayList<>();
        Map<String, Stamp> files = new TreeMap<>();
        Files.walkFileTree(root, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) {
                String path = relative(directory);
                if (path.isEmpty()) {
                    return FileVisitResult.CONTINUE;
                }
                boolean top = path.indexOf('/') < 0;
                if (!top && !isKept(path)) {
                    // Empty ones that PostgreSQL needs, as pg_wal/archive_status, it makes itself.
                    return FileVisitResult.SKIP_SUBTREE;
                }
                directories.add(path);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
                String path = relative(file);
                if (attributes.isRegularFile() && isKept(path)) {
                    files.put(
                            path,
                            new Stamp(
                                    attributes.size(),
                                    attributes.lastModifiedTime().to(TimeUnit.NANOSECONDS)));
                }
                return FileVisitResult.CONTINUE;
            }
        });
        return new Content(directories, files);
    }

    private String relative(Path path) {
        return root.relativize(path).toString();
    }

    /** The base image as a snapshot that needs no layer: what a timeline begins with. */
    public static Manifest imageManifest(Path image, String key, TimelineBase base) throws IOException {
        Content content = new DataDirectory(image).content();
        List<SnapshotFile> files = new ArrayList<>();
        content.files()
                .forEach((path, stamp) -> files.add(new SnapshotFile(path, stamp.size(), inImage(stamp.size()))));
        return new Manifest(
                base.timeline(),
                base.systemIdentifier(),
                base.segmentSize(),
                key,
                TimelineBase.CREATION,
                base.start(),
                base.end(),
                0,
                List.of(),
                content.directories(),
                files);
    }

    private static List<SnapshotFile.Run> inImage(long size) {
        return size == 0 ? List.of() : List.of(new SnapshotFile.Run(0, Blocks.count(size), SnapshotFile.IMAGE, 0));
    }

    /**
     * Makes this directory, a copy of the base image that was not used since, hold all files of a snapshot. Blocks for as long
     * as that takes; what is new belongs to {@code user}.
     *
     * @param present the image's content
     */
    public void hydrate(SnapshotReader snapshot, Content present, OsUser user) throws IOException {
        Manifest manifest = snapshot.manifest();
        makeSameNames(manifest, present, user);
        for (SnapshotFile file : manifest.files()) {
            if (!file.isInImage(present.files().get(file.path()))) {
                write(snapshot, file, user);
            }
        }
    }

    /** Removes files and directories that the snapshot does not have, and makes the directories that it has. */
    void makeSameNames(Manifest manifest, Content present, OsUser user) throws IOException {
        Set<String> wanted = new HashSet<>();
        manifest.files().forEach(file -> wanted.add(file.path()));
        for (String path : present.files().keySet()) {
            if (!wanted.contains(path)) {
                Files.delete(root.resolve(path));
            }
        }
        makeDirectories(manifest, present, user);
    }

    private void makeDirectories(Manifest manifest, Content present, OsUser user) throws IOException {
        Set<String> wanted = new HashSet<>(manifest.directories());
        for (String path : present.directories().reversed()) {
            if (path.indexOf('/') > 0 && !wanted.contains(path)) {
                FileTree.delete(root.resolve(path));
            }
        }
        Set<String> there = new HashSet<>(present.directories());
        for (String path : manifest.directories()) {
            if (!there.contains(path)) {
                Path directory = root.resolve(path);
                Files.createDirectory(
                        directory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
                user.own(directory);
            }
        }
    }

    /** Writes one file of a snapshot; the directory it is in must be there. */
    void write(SnapshotReader snapshot, SnapshotFile file, OsUser user) throws IOException {
        Path path = root.resolve(file.path());
        boolean created = !Files.exists(path, LinkOption.NOFOLLOW_LINKS);
        try (FileChannel channel = created
                ? FileChannel.open(
                        path,
                        Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
                        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))
                : FileChannel.open(path, StandardOpenOption.WRITE)) {
            for (SnapshotFile.Run run : file.runs()) {
                boolean there = run.isIn(SnapshotFile.IMAGE) && !created;
                boolean hole = run.isIn(SnapshotFile.ZEROS) && created;
                if (!there && !hole) {
                    snapshot.read(file, run.first(), run.count(), (first, count, bytes, offset) -> {
                        ByteBuffer from = ByteBuffer.wrap(bytes, offset, count * Blocks.SIZE);
                        long position = (long) first * Blocks.SIZE;
                        while (from.hasRemaining()) {
                            position += channel.write(from, position);
                        }
                    });
                }
            }
            if (channel.size() > file.size()) {
                channel.truncate(file.size());
            } else if (channel.size() < file.size()) {
                channel.write(ByteBuffer.wrap(new byte[1]), file.size() - 1);
            }
        }
        if (created) {
            user.own(path);
        }
    }
}
