package io.spg99.storage.postgres;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.ResourceLock;
import org.junit.jupiter.api.parallel.Resources;

class PostgresBinariesTest {

    private final TestServers platform = TestServers.shared();

    @Test
    void givenUnpackedBinaries_whenAskedForTheirVersion_thenItIsOurs() throws Exception {
        PostgresBinaries binaries = platform.binaries();

        String answer = Programs.run(
                platform.user().command(List.of(binaries.program("postgres").toString(), "--version")),
                PostgresProcess.environment(),
                "",
                Duration.ofSeconds(10));

        assertEquals("postgres (PostgreSQL) " + binaries.version(), answer.strip());
    }

    @Test
    void givenUnpackedBinaries_whenUnpackingAgain_thenNothingIsTouched() throws Exception {
        PostgresBinaries binaries = platform.binaries();
        FileTime before = Files.getLastModifiedTime(binaries.program("postgres"));

        PostgresBinaries again =
                PostgresBinaries.unpack(binaries.home().resolveSibling("x/..").normalize());

        assertEquals(binaries, again);
        assertEquals(before, Files.getLastModifiedTime(binaries.program("postgres")));
    }

    @Test
    @ResourceLock(Resources.SYSTEM_PROPERTIES)
    void givenUnsupportedPlatform_whenUnpacking_thenErrorNamesIt() throws Exception {
        Path directory = platform.directory("binaries");
        String arch = System.getProperty("os.arch");
        String shared = System.clearProperty("spg99.prepared");
        System.setProperty("os.arch", "s390x");
        try {
            IOException e = assertThrows(IOException.class, () -> PostgresBinaries.unpack(directory));
            assertTrue(e.toString().contains("arch=s390x"), e.getMessage());
        } finally {
            System.setProperty("os.arch", arch);
            restore(shared);
        }
    }

    private static void restore(@Nullable String shared) {
        if (shared == null) {
            System.clearProperty("spg99.prepared");
        } else {
            System.setProperty("spg99.prepared", shared);
        }
    }

    @Test
    @ResourceLock(Resources.SYSTEM_PROPERTIES)
    void givenAPlaceForAll_whenUnpacking_thenFilesAreLinkedFromThere() throws Exception {
        Path root = platform.directory("binaries");
        String shared = System.getProperty("spg99.prepared");
        System.setProperty("spg99.prepared", root.resolve("all").toString());
        try {
            PostgresBinaries one = PostgresBinaries.unpack(root.resolve("one"));
            PostgresBinaries other = PostgresBinaries.unpack(root.resolve("other"));
            assertTrue(Files.isSameFile(one.program("postgres"), other.program("postgres")));
            assertTrue(platform.user().canReach(other.home().resolve("share/postgresql/extension")));
        } finally {
            restore(shared);
        }
    }

    @Test
    void givenPrivateParent_whenAskedWhetherPostgresUserReachesIt_thenOnlyIfItIsUs() throws Exception {
        Path open = platform.directory("open");
        Path closed = Files.createDirectory(
                open.resolve("closed"),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        Path inside = Files.createDirectory(closed.resolve("inside"));

        assertTrue(platform.user().canReach(open));
        assertEquals(!platform.user().switched(), platform.user().canReach(inside));
    }
}
