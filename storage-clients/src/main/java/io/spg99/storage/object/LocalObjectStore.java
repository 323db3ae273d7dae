package io.spg99.storage.object;

import io.spg99.storage.file.DurableFiles;
import io.spg99.storage.file.FileTree;
import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Object storage in a local directory. An object is written and synced under a temporary name and then linked to its
 * own, which fails if that exists: no reader ever sees a part of an object, no writer ever replaces one. What a killed
 * process was writing is found by its lock, which went with the process, and removed by the next one.
 */
public final class LocalObjectStore implements ObjectStore {

    private static final int ATTEMPTS = 100;
    private static final String TEMPORARY = ".tmp";

    private final Path root;
    private final Path temporary;

    /** @throws IOException if the directory cannot be created or written */
    public LocalObjectStore(Path root) throws IOException {
        this.root = root.toAbsolutePath().normalize();
        this.temporary = this.root.resolve(TEMPORARY);
        DurableFiles.createDirectories(temporary);
        Files.setPosixFilePermissions(root, PosixFilePermissions.fromString("rwx------"));
        removeAbandoned();
    }

    private void removeAbandoned() throws IOException {
        List<Path> found;
        try (Stream<Path> files = Files.list(temporary)) {
            found = files.toList();
        }
        for (Path file : found) {
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE);
                    @Nullable FileLock lock = channel.tryLock()) {
                if (lock != null) {
                    Files.delete(file);
                }
            } catch (NoSuchFileException | OverlappingFileLockException e) {
                // being written, or just finished
            }
        }
    }

    @Override
    public boolean putIfAbsent(String key, Path content) throws IOException {
        try (FileChannel from = FileChannel.open(content, StandardOpenOption.READ)) {
            return put(key, to -> {
                long copied = 0;
                while (copied < from.size()) {
                    copied += from.transferTo(copied, from.size() - copied, to);
                }
            });
        }
    }

    @Override
    public boolean putIfAbsent(String key, byte[] content) throws IOException {
        return put(key, to -> {
            ByteBuffer bytes = ByteBuffer.wrap(content);
            while (bytes.hasRemaining()) {
                to.write(bytes);
            }
        });
    }

    private boolean put(String key, TemporaryWriter writer) throws IOException {
        Path target = path(key);
        Path directory = parent(target);
        if (Files.exists(target)) {
            DurableFiles.syncDirectory(directory);
            return false;
        }
        Path file = temporary.resolve(UUID.randomUUID().toString());
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            channel.lock();
            writer.write(channel);
            channel.force(true);
            return publish(target, directory, file);
        } finally {
            Files.deleteIfExists(file);
        }
    }

    /** A directory may be removed, being empty, between its making and its use: then once more. */
    private static boolean publish(Path target, Path directory, Path file) throws IOException {
        for (int attempt = 1; ; attempt++) {
            try {
                DurableFiles.createDirectories(directory);
                boolean created = link(target, file);
                // Also when somebody else was first: what we say exists must be durable.
                DurableFiles.syncDirectory(directory);
                return created;
            } catch (NoSuchFileException e) {
                if (attempt == ATTEMPTS) {
                    throw e;
                }
            }
        }
    }

    private static boolean link(Path target, Path file) throws IOException {
        try {
            Files.createLink(target, file);
            return true;
        } catch (FileAlreadyExistsException e) {
            return false;
        }
    }

    @Override
    public InputStream open(String key) throws IOException {
        try {
            return Files.newInputStream(path(key));
        } catch (NoSuchFileException e) {
            throw missing(key, e);
        }
    }

    private static FileNotFoundException missing(String key, NoSuchFileException cause) {
        FileNotFoundException missing = new FileNotFoundException("no such object: key=" + key);
        missing.initCause(cause);
        return missing;
    }

    @Override
    public byte[] read(String key, long offset, int length) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(length);
        try (FileChannel channel = FileChannel.open(path(key), StandardOpenOption.READ)) {
            while (bytes.hasRemaining()) {
                if (channel.read(bytes, offset + bytes.position()) < 0) {
                    throw new EOFException("object is too short: key=" + key + " expectedBytes=" + (offset + length)
                            + " actual=" + channel.size());
                }
            }
        } catch (NoSuchFileException e) {
            throw missing(key, e);
        }
        return bytes.array();
    }

    @Override
    public boolean exists(String key) throws IOException {
        return Files.isRegularFile(path(key));
    }

    @Override
    public List<String> list(String prefix) throws IOException {
        // Only the directory that the prefix names is walked, not the whole store.
        int slash = prefix.lastIndexOf('/');
        Path directory = slash < 0 ? root : path(prefix.substring(0, slash));
        if (!Files.isDirectory(directory)) {
            return List.of();
        }
        List<String> keys = new ArrayList<>();
        Files.walkFileTree(directory, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path found, BasicFileAttributes attributes) {
                return found.equals(temporary) ? FileVisitResult.SKIP_SUBTREE : FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
                String key = root.relativize(file).toString();
                if (attributes.isRegularFile() && key.startsWith(prefix)) {
                    keys.add(key);
                }
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException e) throws IOException {
                if (e instanceof NoSuchFileException) {
                    return FileVisitResult.CONTINUE; // deleted meanwhile
                }
                throw e;
            }
        });
        return keys.stream().sorted().toList();
    }

    @Override
    public long size(String prefix) throws IOException {
        long bytes = 0;
        for (String key : list(prefix)) {
            try {
                bytes += Files.size(path(key));
            } catch (NoSuchFileException e) {
                // Deleted meanwhile.
            }
        }
        return bytes;
    }

    @Override
    public void delete(String key) throws IOException {
        Path file = path(key);
        if (Files.deleteIfExists(file)) {
            DurableFiles.syncDirectory(parent(file));
            removeIfEmpty(parent(file));
        }
    }

    /** Also directories without objects, which a killed process may have made. */
    @Override
    public void deleteAll(String prefix) throws IOException {
        if (!prefix.endsWith("/")) {
            throw new IllegalArgumentException("not a prefix of whole names: prefix=" + prefix);
        }
        Path directory = path(prefix.substring(0, prefix.length() - 1));
        if (Files.isDirectory(directory)) {
            FileTree.delete(directory);
            DurableFiles.syncDirectory(parent(directory));
            removeIfEmpty(parent(directory));
        }
    }

    /** Directories are no objects: nothing is left of those that hold none. */
    private void removeIfEmpty(Path directory) throws IOException {
        try {
            for (Path empty = directory; !empty.equals(root); empty = parent(empty)) {
                Files.deleteIfExists(empty);
            }
        } catch (DirectoryNotEmptyException e) {
            return; // somebody else's objects
        }
    }

    private Path path(String key) {
        return root.resolve(ObjectKey.require(key));
    }

    private Path parent(Path file) {
        Path parent = file.getParent();
        return parent == null ? root : parent;
    }

    private interface TemporaryWriter {
        void write(FileChannel to) throws IOException;
    }
}
