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

/** The native libraries that run inside PostgreSQL; each says in its source what for. */
public enum NativeLibrary {
    /** Keeps rule W8; loaded by shared_preload_libraries. */
    GUARD("spg99_guard"),
    /** Spares recovery its shells; loaded by LD_PRELOAD. */
    PRELOAD("spg99_preload");

    private final String fileName;

    NativeLibrary(String fileName) {
        this.fileName = fileName;
    }

    /**
     * Writes the library to {@code directory}, under a name that changes with its content.
     *
     * @return its path; empty if it was not built, for want of a C compiler
     */
    public Optional<Path> install(Path directory) throws IOException {
        byte[] content;
        try (InputStream in = NativeLibrary.class.getResourceAsStream(
                "/native/" + PostgresBinaries.architecture() + "/" + fileName + ".so")) {
            if (in == null) {
                return Optional.empty();
            }
            content = in.readAllBytes();
        }
        Path library = directory.toAbsolutePath().resolve(fileName + "-" + digest(content) + ".so");
        if (!Files.exists(library)) {
            Files.createDirectories(library.getParent());
            Path aside = Files.createTempFile(library.getParent(), ".native-", ".so");
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
