package io.spg99.cluster.dev;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.spg99.cluster.files.DurableFiles;
import io.spg99.cluster.input.UserError;
import io.spg99.storage.file.FileTree;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * The directory that holds everything of one {@code dev} platform, locked while a program runs on it.
 *
 * <pre>
 * spg99.json          what this directory is: format and instance id, and whether the demo database was made
 * lock                held by the running program
 * dev.json            how to reach it (mode 0600)
 * secrets/  pki/      keys (mode 0700)
 * objects/            object storage
 * safekeepers/sk1..3  WAL
 * logs/
 * postgres/           what the PostgreSQL servers touch: binaries, journal, images, computes
 * </pre>
 */
public final class DataDirectory implements AutoCloseable {

    private static final String MARKER = "spg99.json";
    private static final String DEMO = "demo";
    private static final int FORMAT = 1;
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Where PostgreSQL's files go when root's directory is closed to the user that PostgreSQL runs as. */
    private static final Path SYSTEM_STATE = Path.of("/var/lib/spg99");

    private final Path root;
    private final String instance;
    private final Locked locked;

    private DataDirectory(Path root, String instance, Locked locked) {
        this.root = root;
        this.instance = instance;
        this.locked = locked;
    }

    /** Nobody else's now, and unchanged but for the lock itself. */
    public record Locked(Path root, FileChannel file) implements AutoCloseable {
        @Override
        public void close() {
            closeQuietly(file);
        }
    }

    /**
     * Locks a data directory, which is made if it is not there.
     *
     * @throws UserError if it is in use, not ours, or not writable
     */
    public static Locked lock(Path directory) {
        Path root = directory.toAbsolutePath().normalize();
        try {
            refuseForeign(root);
            DurableFiles.createPrivateDirectory(root);
            return new Locked(root, lockFile(root));
        } catch (IOException e) {
            throw unusable(root, e);
        }
    }

    /**
     * Makes a locked directory ready for use. Whatever fails, it stays locked.
     *
     * @param reset forget everything in it first
     * @throws UserError if it is of another version, or not writable
     */
    public static DataDirectory open(Locked locked, boolean reset) {
        Path root = locked.root();
        try {
            if (reset) {
                deleteAllBut(root, "lock");
            }
            String instance = marker(root);
            for (String part : List.of("objects", "safekeepers", "logs")) {
                DurableFiles.createPrivateDirectory(root.resolve(part));
            }
            DataDirectory opened = new DataDirectory(root, instance, locked);
            // Of an earlier run: who waits for it waits for this one's.
            Files.deleteIfExists(opened.devFile());
            return opened;
        } catch (IOException e) {
            throw unusable(root, e);
        }
    }

    private static UserError unusable(Path root, IOException e) {
        return e instanceof AccessDeniedException denied
                ? new UserError("cannot write to %s: give this user access, or choose another directory with --data DIR"
                        .formatted(denied.getFile()))
                : new UserError("cannot use the data directory %s (%s): choose another with --data DIR"
                        .formatted(root, e.getMessage() == null ? e : e.getMessage()));
    }

    public Path root() {
        return root;
    }

    public String instance() {
        return instance;
    }

    public Path pki() {
        return root.resolve("pki");
    }

    public Path objects() {
        return root.resolve("objects");
    }

    public Path safekeeper(String id) {
        return root.resolve("safekeepers").resolve(id);
    }

    public Path logs() {
        return root.resolve("logs");
    }

    public Path devFile() {
        return root.resolve("dev.json");
    }

    /** A secret of {@code bytes} random bytes that is the same at every start. */
    public byte[] secret(String name, int bytes) throws IOException {
        Path secrets = root.resolve("secrets");
        DurableFiles.createPrivateDirectory(secrets);
        Path file = secrets.resolve(name);
        if (!Files.exists(file)) {
            byte[] fresh = new byte[bytes];
            new SecureRandom().nextBytes(fresh);
            DurableFiles.writePrivate(file, Base64.getEncoder().encode(fresh));
        }
        return Base64.getDecoder().decode(Files.readString(file).strip());
    }

    @Override
    public void close() {
        locked.close();
    }

    private static void refuseForeign(Path root) throws IOException {
        if (Files.exists(root) && !Files.isDirectory(root)) {
            throw new UserError("%s is not a directory: choose another with --data DIR".formatted(root));
        }
        if (!Files.isDirectory(root) || Files.exists(root.resolve(MARKER))) {
            return;
        }
        try (Stream<Path> content = Files.list(root)) {
            if (content.anyMatch(path -> !path.endsWith("lock"))) {
                throw new UserError(
                        "%s holds files that are not SPG99's: choose an empty or new directory with --data DIR"
                                .formatted(root));
            }
        }
    }

    private static FileChannel lockFile(Path root) throws IOException {
        FileChannel channel =
                FileChannel.open(root.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        try {
            FileLock lock = channel.tryLock();
            if (lock != null) {
                return channel;
            }
        } catch (OverlappingFileLockException e) {
            // Held by this very process: the same answer.
        }
        channel.close();
        throw new UserError("another spg99 is running on %s: stop it first, or choose another directory with --data DIR"
                .formatted(root));
    }

    private static String marker(Path root) throws IOException {
        Path file = root.resolve(MARKER);
        if (Files.exists(file)) {
            JsonNode json = JSON.readTree(file.toFile());
            int format = json.path("format").asInt();
            if (format != FORMAT) {
                throw new UserError(
                        "%s was made by another version of SPG99 (format %d, this one is %d): use that version, or start anew with --reset"
                                .formatted(root, format, FORMAT));
            }
            return json.path("instance").asText();
        }
        byte[] random = new byte[8];
        new SecureRandom().nextBytes(random);
        String instance = HexFormat.of().formatHex(random);
        DurableFiles.writePrivate(
                file,
                JSON.writeValueAsBytes(
                        JSON.createObjectNode().put("format", FORMAT).put("instance", instance)));
        return instance;
    }

    /** Whether {@link #demoMade} was ever said here. */
    public boolean hasDemo() throws IOException {
        return JSON.readTree(root.resolve(MARKER).toFile()).path(DEMO).asBoolean();
    }

    /** The demo database was made: it is the user's from now on, also to delete. */
    public void demoMade() throws IOException {
        Path file = root.resolve(MARKER);
        ObjectNode marker = (ObjectNode) JSON.readTree(file.toFile());
        DurableFiles.writePrivate(file, JSON.writeValueAsBytes(marker.put(DEMO, true)));
    }

    /**
     * Where the PostgreSQL servers keep what they touch. PostgreSQL refuses to run as root, so root's platform runs it as
     * another user, who may be unable to enter this directory (below a home of mode 0700, say). Then its files go to a
     * directory of this instance's own in {@code /var/lib}, and a link leads there.
     *
     * @param canReach whether the user that PostgreSQL runs as can enter a directory
     */
    public Path placeForPostgres(Predicate<Path> canReach) throws IOException {
        Path inside = root.resolve("postgres");
        if (Files.isSymbolicLink(inside)) {
            Path outside = Files.readSymbolicLink(inside);
            openDirectory(outside);
            return outside;
        }
        if (!Files.isDirectory(inside)) {
            openDirectory(inside);
        }
        if (canReach.test(inside)) {
            return inside;
        }
        // Passing through is enough for PostgreSQL; everything else in here is 0700 by itself.
        Files.setPosixFilePermissions(root, PosixFilePermissions.fromString("rwx--x--x"));
        if (canReach.test(inside)) {
            return inside;
        }
        Files.setPosixFilePermissions(root, PosixFilePermissions.fromString("rwx------"));
        Files.delete(inside);
        Path outside = SYSTEM_STATE.resolve(instance);
        openDirectory(SYSTEM_STATE);
        openDirectory(outside);
        Files.createSymbolicLink(inside, outside);
        return outside;
    }

    private static void openDirectory(Path directory) throws IOException {
        Files.createDirectories(directory);
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    private static void deleteAllBut(Path root, String kept) throws IOException {
        Path postgres = root.resolve("postgres");
        if (Files.isSymbolicLink(postgres) && Files.isDirectory(postgres)) {
            Path outside = Files.readSymbolicLink(postgres).normalize();
            // Where we have put it. Anybody may have put a link there.
            if (SYSTEM_STATE.equals(outside.getParent())) {
                FileTree.delete(outside);
            }
        }
        try (Stream<Path> content = Files.list(root)) {
            for (Path path : content.toList()) {
                // The marker last: until then the directory is known as ours.
                if (!path.endsWith(kept) && !path.endsWith(MARKER)) {
                    FileTree.delete(path);
                }
            }
        }
        Files.deleteIfExists(root.resolve(MARKER));
    }

    private static void closeQuietly(FileChannel channel) {
        try {
            channel.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Writes {@code dev.json}: how to reach the running platform. */
    public void writeDevFile(Object content) throws IOException {
        DurableFiles.writePrivate(
                devFile(),
                (JSON.writerWithDefaultPrettyPrinter().writeValueAsString(content) + "\n")
                        .getBytes(StandardCharsets.UTF_8));
    }
}
