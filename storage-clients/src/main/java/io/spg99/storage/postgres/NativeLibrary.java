package io.spg99.storage.postgres;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Optional;

/** Our native libraries for PostgreSQL processes, from the class path onto disk. */
public final class NativeLibrary {

    private NativeLibrary() {}

    /**
     * Writes a library to {@code directory}, under a name that changes with its content.
     *
     * @param name {@code spg99_guard} for instance
     * @return its path; empty if it was not built, for want of a C compiler
     */
    public static Optional<Path> install(String name, Path directory) throws IOException {
        byte[] content;
        try (InputStream in = NativeLibrary.class.getResourceAsStream(
                "/native/" + PostgresBinaries.architecture() + "/" + name + ".so")) {
            if (in == null) {
                return Optional.empty();
            }
            content = in.readAllBytes();
        }
        Path library = directory.toAbsolutePath().resolve(name + "-" + digest(content) + ".so");
        if (!Files.exists(library)) {
            Files.createDirectories(library.getParent());
            Path aside = Files.createTempFile(library.getParent(), "." + name, ".so");
            Files.write(aside, content);
            Files.setPosixFilePermissions(aside, PosixFilePermissions.fromString("rwxr-xr-x"));
            Files.move(aside, library, StandardCopyOption.ATOMIC_MOVE);
        }
        return Optional.of(library);
    }

    private static String digest(byte[] content) {
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(content);
            return HexFormat.of().formatHex(hash, 0, 8);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
