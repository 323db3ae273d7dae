package io.spg99.storage.postgres;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The operating system user PostgreSQL runs as. It refuses to run as root; started as root we step down to
 * {@code postgres}, or {@code nobody} where there is none.
 *
 * @param name     in the system's user database
 * @param switched true if we are root and programs for this user go through {@code setpriv}
 */
public record OsUser(String name, int uid, int gid, boolean switched) {

    private static final int ROOT = 0;
    private static final List<String> UNPRIVILEGED = List.of("postgres", "nobody");

    /** @throws IOException if we are root and there is no user to step down to, or no {@code setpriv} */
    public static OsUser forPostgres() throws IOException {
        int uid = ownUid();
        if (uid != ROOT) {
            int gid = (Integer) Files.getAttribute(Path.of("/proc/self"), "unix:gid");
            return new OsUser(System.getProperty("user.name", Integer.toString(uid)), uid, gid, false);
        }
        if (Programs.find("setpriv").isEmpty()) {
            throw new IOException("started as root, and PostgreSQL refuses to run as root: install setpriv (util-linux)"
                    + " or start as an ordinary user");
        }
        List<String> passwd = Files.readAllLines(Path.of("/etc/passwd"));
        for (String candidate : UNPRIVILEGED) {
            for (String line : passwd) {
                String[] fields = line.split(":", -1);
                if (fields.length > 3 && fields[0].equals(candidate)) {
                    return new OsUser(candidate, Integer.parseInt(fields[2]), Integer.parseInt(fields[3]), true);
                }
            }
        }
        throw new IOException("started as root, and there is no user PostgreSQL could run as: expected one of "
                + UNPRIVILEGED + " in /etc/passwd");
    }

    /** Name of the user this JVM runs as, as PostgreSQL's peer authentication sees it. */
    public static String own() throws IOException {
        return ownUid() == ROOT ? "root" : System.getProperty("user.name", "");
    }

    /** The command that runs {@code program} as this user, in the same process. */
    public List<String> command(List<String> program) throws IOException {
        if (!switched) {
            return program;
        }
        List<String> command = new ArrayList<>();
        command.add(Programs.find("setpriv")
                .orElseThrow(() -> new IOException("setpriv is gone"))
                .toString());
        command.addAll(credentials());
        command.add("--");
        command.addAll(program);
        return command;
    }

    /** Options of {@code setpriv}; empty if nothing is to be changed. */
    List<String> credentials() {
        return switched ? List.of("--reuid=" + uid, "--regid=" + gid, "--clear-groups") : List.of();
    }

    /**
     * True if this user may enter {@code directory} through all of its parents. Looks at mode bits and owners only, as
     * the user has no supplementary groups.
     */
    public boolean canReach(Path directory) {
        if (!switched) {
            return Files.isExecutable(directory);
        }
        for (Path path = directory.toAbsolutePath().normalize(); path != null; path = path.getParent()) {
            if (!mayEnter(path)) {
                return false;
            }
        }
        return true;
    }

    private boolean mayEnter(Path directory) {
        try {
            Map<String, Object> attributes = Files.readAttributes(directory, "unix:uid,gid,mode");
            int mode = (Integer) attributes.getOrDefault("mode", 0);
            if (attributes.get("uid") instanceof Integer owner && owner == uid) {
                return (mode & 0100) != 0;
            }
            if (attributes.get("gid") instanceof Integer group && group == gid) {
                return (mode & 0010) != 0;
            }
            return (mode & 0001) != 0;
        } catch (IOException e) {
            return false;
        }
    }

    /** Creates a directory (with parents) that only this user and root may enter. */
    public Path createPrivateDirectory(Path directory) throws IOException {
        Files.createDirectories(directory.toAbsolutePath().getParent());
        Files.createDirectory(
                directory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        own(directory);
        return directory;
    }

    /** The same in {@code /tmp}, under a name that leaves room for that of a socket. */
    public Path createShortPrivateDirectory() throws IOException {
        Path directory = Files.createTempDirectory(
                Path.of("/tmp"),
                "spg99-",
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        own(directory);
        return directory;
    }

    /** Makes a file or directory this user's. */
    public void own(Path path) throws IOException {
        if (switched) {
            Files.setAttribute(path, "unix:uid", uid, LinkOption.NOFOLLOW_LINKS);
            Files.setAttribute(path, "unix:gid", gid, LinkOption.NOFOLLOW_LINKS);
        }
    }

    /** Makes a directory and all it holds this user's. */
    public void ownTree(Path root) throws IOException {
        if (!switched) {
            return;
        }
        Files.walkFileTree(root, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes)
                    throws IOException {
                own(directory);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                own(file);
                return FileVisitResult.CONTINUE;
            }
        });
    }

    /** Writes a file that only this user and root may read; one that is there is overwritten. */
    public void writePrivate(Path file, byte[] content) throws IOException {
        try (SeekableByteChannel channel = Files.newByteChannel(
                file,
                Set.of(StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))) {
            channel.write(ByteBuffer.wrap(content));
        }
        own(file);
    }

    /** Writes down where {@code directory} is, for {@link #recorded}. */
    public void record(Path file, Path directory) throws IOException {
        writePrivate(file, (directory.toAbsolutePath() + "\n").getBytes(StandardCharsets.UTF_8));
    }

    /**
     * The directory that {@link #record} has written down. Whoever wrote may have been killed in the middle: half a path names another
     * directory, and nothing at all the working directory, which nobody must take for one of ours and remove.
     *
     * @return empty if there is no record, or no whole one
     */
    public static Optional<Path> recorded(Path file) throws IOException {
        if (!Files.exists(file)) {
            return Optional.empty();
        }
        String line = Files.readString(file);
        return line.startsWith("/") && line.indexOf('\n') == line.length() - 1
                ? Optional.of(Path.of(line.strip()))
                : Optional.empty();
    }

    private static int ownUid() throws IOException {
        return (Integer) Files.getAttribute(Path.of("/proc/self"), "unix:uid");
    }
}
