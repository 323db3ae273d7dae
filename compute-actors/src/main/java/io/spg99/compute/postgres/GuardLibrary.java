package io.spg99.compute.postgres;

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

/** The native library that keeps rule W8 inside PostgreSQL ({@code spg99_guard.c}). */
public final class GuardLibrary {

    private GuardLibrary() {}

    /**
     * Writes the library to {@code directory}, under a name that changes with its content.
     *
     * @return its path; empty if it was not built, for want of a C compiler
     */
    public static Optional<Path> install(Path directory) throws IOException {
        byte[] content;
        try (InputStream in = GuardLibrary.class.getResourceAsStream(
                "/native/" + PostgresBinaries.architecture() + "/spg99_guard.so")) {
            if (in == null) {
                return Optional.empty();
            }
            content = in.readAllBytes();
        }
        Path library = directory.toAbsolutePath().resolve("spg99_guard-" + digest(content) + ".so");
        if (!Files.exists(library)) {
            Files.createDirectories(library.getParent());
            Path aside = Files.createTempFile(library.getParent(), ".guard-", ".so");
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
