package io.spg99.storage.postgres;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.file.Prepared;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.ReadOnlyFileSystemException;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Locale;
import java.util.Optional;
import java.util.Properties;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.compressors.xz.XZCompressorInputStream;

/**
 * Stock PostgreSQL server binaries on disk, unpacked from the Maven artifact on the class path.
 *
 * @param home    directory with {@code bin}, {@code lib} and {@code share}
 * @param version for instance {@code 17.11}
 */
public record PostgresBinaries(Path home, String version) {

    private interface Source {
        void writeTo(Path empty) throws IOException;
    }

    /**
     * Unpacks the binaries to {@code <directory>/<version>} unless they are there already. Safe with several processes at
     * once: each unpacks aside and the first rename wins.
     *
     * @throws IOException if this is no platform that binaries exist for, or the directory cannot be written
     */
    public static PostgresBinaries unpack(Path directory) throws IOException {
        Optional<Path> prepared = Prepared.directory("postgres");
        return prepared.isPresent() ? make(directory, aside -> link(prepared.get(), aside)) : unpackArchive(directory);
    }

    private static PostgresBinaries unpackArchive(Path directory) throws IOException {
        return make(directory, aside -> extract(archive(), aside));
    }

    private static void link(Path prepared, Path aside) throws IOException {
        Path unpacked = prepared.resolve(artifactVersion());
        if (!Files.isDirectory(unpacked)) {
            try {
                unpackArchive(prepared);
            } catch (AccessDeniedException | ReadOnlyFileSystemException e) {
                extract(archive(), aside); // it is somebody else's, who has not used it yet
                return;
            }
        }
        FileTree.link(unpacked, aside);
    }

    private static PostgresBinaries make(Path directory, Source source) throws IOException {
        String version = artifactVersion();
        Path home = directory.toAbsolutePath().resolve(version);
        if (!Files.isDirectory(home)) {
            Files.createDirectories(home.getParent());
            Path aside = Files.createTempDirectory(home.getParent(), ".unpack-");
            try {
                source.writeTo(aside);
                Files.setPosixFilePermissions(aside, PosixFilePermissions.fromString("rwxr-xr-x"));
                moveUnlessExists(aside, home);
            } finally {
                FileTree.delete(aside);
            }
        }
        return new PostgresBinaries(home, version);
    }

    /** Path of {@code postgres}, {@code initdb} or {@code pg_ctl}. */
    public Path program(String name) {
        return home.resolve("bin").resolve(name);
    }

    /** Name of this machine's architecture as the artifacts spell it. */
    public static String architecture() throws IOException {
        String os = System.getProperty("os.name", "");
        String arch = System.getProperty("os.arch", "").toLowerCase(Locale.ROOT);
        if (os.equals("Linux") && (arch.equals("amd64") || arch.equals("x86_64"))) {
            return "amd64";
        }
        if (os.equals("Linux") && arch.equals("aarch64")) {
            return "arm64v8";
        }
        throw new IOException("no PostgreSQL binaries for this platform: os=" + os + " arch=" + arch
                + " supported=[Linux amd64, Linux aarch64]");
    }

    private static String artifactVersion() throws IOException {
        Properties properties = new Properties();
        try (InputStream in = PostgresBinaries.class.getResourceAsStream("binaries.properties")) {
            if (in == null) {
                throw new IOException("binaries.properties is not on the class path: build with Maven");
            }
            properties.load(in);
        }
        // The artifact's versions have three parts (17.11.0), PostgreSQL's two.
        String version = properties.getProperty("version", "");
        int last = version.lastIndexOf('.');
        if (last < 1) {
            throw new IOException("no version in binaries.properties: version=" + version);
        }
        return version.substring(0, last);
    }

    private static InputStream archive() throws IOException {
        String name = architecture().equals("amd64") ? "/postgres-linux-x86_64.txz" : "/postgres-linux-arm_64.txz";
        InputStream in = PostgresBinaries.class.getResourceAsStream(name);
        if (in == null) {
            throw new IOException("PostgreSQL binaries are not on the class path: resource=" + name);
        }
        return in;
    }

    private static void extract(InputStream archive, Path target) throws IOException {
        try (TarArchiveInputStream tar =
                new TarArchiveInputStream(new XZCompressorInputStream(new BufferedInputStream(archive)))) {
            for (TarArchiveEntry entry = tar.getNextEntry(); entry != null; entry = tar.getNextEntry()) {
                Path path = target.resolve(entry.getName()).normalize();
                if (!path.startsWith(target)) {
                    throw new IOException("archive entry outside of its directory: entry=" + entry.getName());
                }
                if (entry.isDirectory()) {
                    Files.createDirectories(path);
                } else if (entry.isSymbolicLink()) {
                    Files.createDirectories(path.getParent());
                    Files.createSymbolicLink(path, Path.of(entry.getLinkName()));
                } else {
                    Files.createDirectories(path.getParent());
                    Files.copy(tar, path);
                    boolean executable = (entry.getMode() & 0111) != 0;
                    Files.setPosixFilePermissions(
                            path, PosixFilePermissions.fromString(executable ? "rwxr-xr-x" : "rw-r--r--"));
                }
            }
        }
    }

    /** Renames a directory; one that is there already is as good. */
    private static void moveUnlessExists(Path from, Path to) throws IOException {
        try {
            Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
        } catch (FileSystemException e) {
            if (!Files.isDirectory(to, LinkOption.NOFOLLOW_LINKS)) {
                throw e;
            }
        }
    }
}
