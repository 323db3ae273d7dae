package io.spg99.cluster.node;

import io.spg99.cluster.files.DurableFiles;
import io.spg99.cluster.input.UserError;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;
import java.util.stream.Stream;

/**
 * The directory that a user gives a process with generations, locked while that runs: {@code postgres} for what PostgreSQL
 * touches, and {@code logs}. Nothing in it is of any use to the next process.
 */
public final class GenerationHome implements AutoCloseable {

    private static final String LOCK = "lock";
    private static final Set<String> OURS = Set.of(LOCK, "logs", "postgres");

    private final Path root;
    private final FileChannel lock;

    private GenerationHome(Path root, FileChannel lock) {
        this.root = root;
        this.lock = lock;
    }

    /**
     * Makes the directory if it is not there.
     *
     * @throws UserError if it is another's, in use, or cannot be written to
     */
    public static GenerationHome open(Path directory) {
        Path root = directory.toAbsolutePath().normalize();
        try {
            refuseForeign(root);
            // Passing through is enough for PostgreSQL's user.
            passable(root, "rwx--x--x");
            GenerationHome home = new GenerationHome(root, lock(root));
            passable(home.postgres(), "rwxr-xr-x");
            DurableFiles.createPrivateDirectory(home.logs());
            return home;
        } catch (AccessDeniedException e) {
            throw new UserError("cannot write to %s: give this user access, or choose another directory with --data DIR"
                    .formatted(e.getFile()));
        } catch (IOException e) {
            throw new UserError("cannot use the directory %s (%s): choose another with --data DIR"
                    .formatted(root, e.getMessage() == null ? e : e.getMessage()));
        }
    }

    public Path postgres() {
        return root.resolve("postgres");
    }

    public Path logs() {
        return root.resolve("logs");
    }

    private static void refuseForeign(Path root) throws IOException {
        if (Files.exists(root) && !Files.isDirectory(root)) {
            throw new UserError("%s is not a directory: choose another with --data DIR".formatted(root));
        }
        if (Files.exists(root)) {
            try (Stream<Path> content = Files.list(root)) {
                if (content.anyMatch(path -> !OURS.contains(String.valueOf(path.getFileName())))) {
                    throw new UserError(
                            "%s holds files of something else: choose an empty or new directory with --data DIR"
                                    .formatted(root));
                }
            }
        }
    }

    private static void passable(Path directory, String permissions) throws IOException {
        Files.createDirectories(directory);
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString(permissions));
    }

    private static FileChannel lock(Path root) throws IOException {
        FileChannel channel = FileChannel.open(root.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        if (channel.tryLock() == null) {
            channel.close();
            throw new UserError(
                    "another spg99 is running on %s: stop it first, or choose another directory with --data DIR"
                            .formatted(root));
        }
        return channel;
    }

    @Override
    public void close() throws IOException {
        lock.close();
    }
}
