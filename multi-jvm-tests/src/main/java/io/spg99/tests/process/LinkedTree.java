package io.spg99.tests.process;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.stream.Stream;

/** A copy of a file, or of a directory and all it holds, that shares the files where the file system can: nobody writes to them. */
final class LinkedTree {

    private LinkedTree() {}

    static void copy(Path original, Path copy) throws IOException {
        try (Stream<Path> files = Files.walk(original)) {
            for (Path file : files.toList()) {
                Path target = copy.resolve(original.relativize(file).toString());
                if (Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS)) {
                    Files.createDirectories(target);
                } else {
                    link(file, target);
                }
            }
        }
    }

    private static void link(Path original, Path copy) throws IOException {
        try {
            Files.createLink(copy, original);
        } catch (IOException | UnsupportedOperationException e) {
            // On another file system.
            Files.copy(original, copy, LinkOption.NOFOLLOW_LINKS);
        }
    }
}
