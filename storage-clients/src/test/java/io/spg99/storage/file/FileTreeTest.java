package io.spg99.storage.file;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileTreeTest {

    @TempDir
    Path directory;

    @Test
    void givenADirectoryWithALink_whenDeleted_thenWhatTheLinkNamesStays() throws IOException {
        Path other = Files.createDirectory(directory.resolve("other"));
        Path tree = Files.createDirectories(directory.resolve("tree/a"));
        Files.createSymbolicLink(tree.resolve("link"), other);
        FileTree.delete(directory.resolve("tree"));
        assertFalse(Files.exists(directory.resolve("tree")));
        assertTrue(Files.exists(other));
    }

    /** The path does not exist as it stands: without the refusal nothing is removed, either. */
    @Test
    void givenAPathThatMeansTheWorkingDirectory_thenItIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> FileTree.delete(Path.of("is-not-there", "..")));
        assertThrows(IllegalArgumentException.class, () -> FileTree.delete(Path.of("/is-not-there", "..")));
    }
}
