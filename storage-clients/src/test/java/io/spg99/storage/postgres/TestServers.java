package io.spg99.storage.postgres;

import io.spg99.storage.file.FileTree;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;

/** PostgreSQL's binaries, unpacked once for all tests of this JVM, in a directory that PostgreSQL's user can reach. */
public final class TestServers {

    private static final TestServers SHARED = new TestServers();

    private final Path root;
    private final OsUser user;
    private final PostgresBinaries binaries;

    private TestServers() {
        try {
            root = reachableDirectory("spg99-test-");
            Runtime.getRuntime().addShutdownHook(new Thread(() -> deleteQuietly(root)));
            user = OsUser.forPostgres();
            binaries = PostgresBinaries.unpack(root.resolve("binaries"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static TestServers shared() {
        return SHARED;
    }

    /** A fresh directory under /tmp that every user may enter. */
    public static Path reachableDirectory(String prefix) throws IOException {
        Path directory = Files.createTempDirectory(Path.of("/tmp"), prefix);
        return Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    private static void deleteQuietly(Path directory) {
        try {
            FileTree.delete(directory);
        } catch (IOException e) {
            System.err.println("test directory could not be removed: " + e);
        }
    }

    /** A fresh directory for one test. */
    public Path directory(String name) throws IOException {
        Path directory = Files.createTempDirectory(root, name + "-");
        return Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    public OsUser user() {
        return user;
    }

    public PostgresBinaries binaries() {
        return binaries;
    }
}
