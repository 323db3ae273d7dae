package io.spg99.compute.generation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Over plain files of the names that cgroup v2 has. */
class CgroupsTest {

    @TempDir
    private Path directory;

    private Optional<Cgroups> found(String controllers) throws IOException {
        Path mount = directory.resolve("cgroup");
        Path service = mount.resolve("system.slice/spg99.service");
        Files.createDirectories(service.resolve("main"));
        Files.writeString(service.resolve("cgroup.subtree_control"), controllers + "\n");
        Files.writeString(service.resolve("main/cgroup.subtree_control"), "\n");
        Path member = directory.resolve("member");
        Files.writeString(member, "1:cpu:/\n0::/system.slice/spg99.service/main\n");
        return Cgroups.of(mount, member);
    }

    @Test
    void givenADelegatedPart_whenAServerIsLimited_thenItIsInAGroupOfItsProfile() throws IOException {
        Profile profile = Profile.L1;
        found("cpuset cpu memory").orElseThrow().limit("db-3", profile, 4711);
        Path group = directory.resolve("cgroup/system.slice/spg99.service/db-3");
        assertEquals("50000 100000", Files.readString(group.resolve("cpu.max")));
        assertEquals(String.valueOf(512L << 20), Files.readString(group.resolve("memory.max")));
        assertEquals("4711", Files.readString(group.resolve("cgroup.procs")));
    }

    @Test
    void givenAPartThatHandsNothingOn_thenThereAreNoLimits() throws IOException {
        assertTrue(found("cpu").isEmpty());
        assertTrue(
                Cgroups.of(directory.resolve("none"), directory.resolve("none")).isEmpty());
    }
}
