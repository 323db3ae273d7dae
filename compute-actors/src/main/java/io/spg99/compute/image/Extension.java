package io.spg99.compute.image;

import io.spg99.storage.postgres.PostgresBinaries;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;

/**
 * The SQL extension spg99. Its files are put to those of PostgreSQL where the base image is made; a server needs them no more
 * once the extension is created.
 */
final class Extension {

    static final String NAME = "spg99";

    private static final List<String> FILES = List.of("spg99.control", "spg99--1.0.sql");

    private Extension() {}

    /** What its files say. */
    static List<String> contents() throws IOException {
        List<String> contents = new ArrayList<>();
        for (String name : FILES) {
            contents.add(content(name));
        }
        return contents;
    }

    private static String content(String name) throws IOException {
        try (InputStream in = Extension.class.getResourceAsStream("extension/" + name)) {
            if (in == null) {
                throw new FileNotFoundException("not on the class path: resource=" + name);
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    /** Makes {@code CREATE EXTENSION spg99} possible. */
    static void install(PostgresBinaries binaries) throws IOException {
        Path directory = binaries.home().resolve("share/postgresql/extension");
        for (String name : FILES) {
            Path aside = Files.createTempFile(directory, "." + name, "");
            try {
                Files.writeString(aside, content(name));
                Files.setPosixFilePermissions(aside, PosixFilePermissions.fromString("rw-r--r--"));
                Files.move(aside, directory.resolve(name), StandardCopyOption.ATOMIC_MOVE);
            } finally {
                Files.deleteIfExists(aside);
            }
        }
    }
}
