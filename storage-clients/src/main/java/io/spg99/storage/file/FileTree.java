package io.spg99.storage.file;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Whole directories. Other processes may be removing files from them at the same time. */
public final class FileTree {

    private static final int BUFFER = 64 * 1024;

    private FileTree() {}

    /**
     * Removes a directory and all it holds, following no links; one that does not exist is no error.
     *
     * @throws IllegalArgumentException if it is the root of the file system, or a path without a name, which is the working directory:
     *     nobody can mean that
     */
    public static void delete(Path root) throws IOException {
        Path plain = root.normalize();
        if (plain.getNameCount() == 0 || plain.toString().isEmpty()) {
            throw new IllegalArgumentException("not a directory to be removed: path='" + root + "'");
        }
        if (!Files.exists(root, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        Files.walkFileTree(root, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.deleteIfExists(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException e) throws IOException {
                if (e instanceof NoSuchFileException) {
                    return FileVisitResult.CONTINUE;
                }
                throw e;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path directory, @Nullable IOException e) throws IOException {
                if (e != null) {
                    throw e;
                }
                Files.deleteIfExists(directory);
                return FileVisitResult.CONTINUE;
            }
        });
    }

    /**
     * Makes a copy of a file, or of a directory and all it holds, that shares the files where the file system lets us: nobody may write to
     * them. Directories are for everybody to read.
     *
     * @param copy must not exist, or be an empty directory
     */
    public static void link(Path original, Path copy) throws IOException {
        try (Stream<Path> files = Files.walk(original)) {
            for (Path file : files.toList()) {
                Path target = copy.resolve(original.relativize(file).toString());
                if (Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS)) {
                    Files.createDirectories(target);
                    Files.setPosixFilePermissions(target, PosixFilePermissions.fromString("rwxr-xr-x"));
                } else {
                    linkFile(file, target);
                }
            }
        }
    }

    private static void linkFile(Path original, Path copy) throws IOException {
        try {
            Files.createLink(copy, original);
        } catch (IOException | UnsupportedOperationException e) {
            // On another file system, or somebody else's.
            Files.copy(original, copy, LinkOption.NOFOLLOW_LINKS, StandardCopyOption.COPY_ATTRIBUTES);
        }
    }

    /**
     * Makes {@code copy}, an older copy of {@code original} that was changed, equal to it again, by removing and overwriting
     * what differs. Bytes are compared, not times. Owners and modes of the files that both have are kept.
     *
     * @throws NoSuchFileException if the copy lacks a file of the original; the copy is of no use then
     */
    public static void restore(Path original, Path copy) throws IOException {
        ByteBuffer expected = ByteBuffer.allocateDirect(BUFFER);
        ByteBuffer actual = ByteBuffer.allocateDirect(BUFFER);
        restoreDirectory(original, copy, expected, actual);
    }

    private static void restoreDirectory(Path original, Path copy, ByteBuffer expected, ByteBuffer actual)
            throws IOException {
        Set<Path> directories = new HashSet<>();
        Set<Path> files = new HashSet<>();
        for (Path child : children(original)) {
            (isDirectory(child) ? directories : files).add(child.getFileName());
        }
        for (Path child : children(copy)) {
            if (!(isDirectory(child) ? directories : files).contains(child.getFileName())) {
                delete(child);
            }
        }
        for (Path file : files) {
            restoreFile(original.resolve(file), copy.resolve(file), expected, actual);
        }
        for (Path directory : directories) {
            restoreDirectory(original.resolve(directory), copy.resolve(directory), expected, actual);
        }
    }

    private static void restoreFile(Path original, Path copy, ByteBuffer expected, ByteBuffer actual)
            throws IOException {
        try (FileChannel from = FileChannel.open(original, StandardOpenOption.READ);
                FileChannel to = FileChannel.open(
                        copy, StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS)) {
            long position = 0;
            while (read(from, expected, position)) {
                read(to, actual, position);
                if (!actual.equals(expected)) {
                    write(to, expected.duplicate(), position);
                }
                position += expected.remaining();
            }
            if (to.size() > position) {
                to.truncate(position);
            }
        }
    }

    /** Fills the buffer as far as the file goes. */
    private static boolean read(FileChannel file, ByteBuffer buffer, long position) throws IOException {
        buffer.clear();
        while (buffer.hasRemaining() && file.read(buffer, position + buffer.position()) > 0) {
            // not full yet
        }
        buffer.flip();
        return buffer.hasRemaining();
    }

    private static void write(FileChannel file, ByteBuffer bytes, long position) throws IOException {
        long next = position;
        while (bytes.hasRemaining()) {
            next += file.write(bytes, next);
        }
    }

    private static boolean isDirectory(Path path) {
        return Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS);
    }

    private static List<Path> children(Path directory) throws IOException {
        try (Stream<Path> children = Files.list(directory)) {
            return children.toList();
        }
    }
}
