package io.spg99.compute.testing;

import io.spg99.storage.object.ObjectStore;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** An object store good enough for tests: a directory. */
public final class DirectoryObjects implements ObjectStore {

    private final Path directory;

    public DirectoryObjects(Path directory) {
        this.directory = directory;
    }

    @Override
    public boolean putIfAbsent(String key, Path content) throws IOException {
        return putIfAbsent(key, Files.readAllBytes(content));
    }

    @Override
    public boolean putIfAbsent(String key, byte[] content) throws IOException {
        Path file = directory.resolve(key.replace('/', '_'));
        Files.createDirectories(directory);
        Path aside = Files.createTempFile(directory, ".new-", "");
        Files.write(aside, content);
        try {
            Files.createLink(file, aside);
            return true;
        } catch (FileAlreadyExistsException e) {
            return false;
        } finally {
            Files.delete(aside);
        }
    }

    @Override
    public InputStream open(String key) throws IOException {
        try {
            return Files.newInputStream(directory.resolve(key.replace('/', '_')));
        } catch (NoSuchFileException e) {
            throw (FileNotFoundException) new FileNotFoundException(key).initCause(e);
        }
    }

    @Override
    public boolean exists(String key) {
        return Files.exists(directory.resolve(key.replace('/', '_')));
    }

    @Override
    public List<String> list(String prefix) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(f -> f.getFileName().toString().replaceFirst("_", "/"))
                    .filter(key -> key.startsWith(prefix))
                    .sorted()
                    .toList();
        }
    }

    @Override
    public void delete(String key) throws IOException {
        Files.deleteIfExists(directory.resolve(key.replace('/', '_')));
    }
}
