package io.spg99.storage.object;

import io.spg99.storage.file.DurableFiles;
import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * Object storage in a local directory. An object is written and synced under a temporary name and then linked to its
 * own, which fails if that exists: no reader ever sees a part of an object, no writer ever replaces one.
 */
public final class LocalObjectStore implements ObjectStore {

    private static final String TEMPORARY = ".tmp";

    private final Path root;
    private final Path temporary;

    /** @throws IOException if the directory cannot be created or written */
    public LocalObjectStore(Path root) throws IOException {
        this.root = root.toAbsolutePath().normalize();
        this.temporary = this.root.resolve(TEMPORARY);
        DurableFiles.createDirectories(temporary);
        Files.setPosixFilePermissions(root, PosixFilePermissions.fromString("rwx------"));
    }

    @Override
    public boolean putIfAbsent(String key, Path content) throws IOException {
        return put(key, file -> {
            try (FileChannel from = FileChannel.open(content, StandardOpenOption.READ);
                    FileChannel to = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                long copied = 0;
                while (copied < from.size()) {
                    copied += from.transferTo(copied, from.size() - copied, to);
                }
                to.force(true);
            }
        });
    }

    @Override
    public boolean putIfAbsent(String key, byte[] content) throws IOException {
        return put(key, file -> DurableFiles.write(file, ByteBuffer.wrap(content)));
    }

    private boolean put(String key, TemporaryWriter writer) throws IOException {
        Path target = path(key);
        Path directory = parent(target);
        if (Files.exists(target)) {
            DurableFiles.syncDirectory(directory);
            return false;
        }
        Path file = temporary.resolve(UUID.randomUUID().toString());
        try {
            writer.write(file);
            DurableFiles.createDirectories(directory);
            boolean created = link(target, file);
            // Also when somebody else was first: what we say exists must be durable.
            DurableFiles.syncDirectory(directory);
            return created;
        } finally {
            Files.deleteIfExists(file);
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
        try (Stream<Path> files = Files.walk(directory)) {
            return files.filter(file -> !file.startsWith(temporary) && Files.isRegularFile(file))
                    .map(file -> root.relativize(file).toString())
                    .filter(key -> key.startsWith(prefix))
                    .sorted()
                    .toList();
        }
    }

    @Override
    public void delete(String key) throws IOException {
        Path file = path(key);
        if (Files.deleteIfExists(file)) {
            DurableFiles.syncDirectory(parent(file));
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
        void write(Path file) throws IOException;
    }
}
