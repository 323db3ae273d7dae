package io.spg99.compute.generation;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Holds servers to the processors and the memory of their profiles by cgroup v2, one group for each generation. Only where the
 * program was given a part of the tree that it may write to and that hands {@code cpu} and {@code memory} on: its own group's
 * parent, as with systemd's {@code Delegate=} and {@code DelegateSubgroup=}, or its own group, if that is the root.
 */
final class Cgroups {

    private static final Logger LOG = LoggerFactory.getLogger(Cgroups.class);

    /** Of {@code cpu.max}, in microseconds. */
    private static final int PERIOD = 100_000;

    private final Path parent;

    private Cgroups(Path parent) {
        this.parent = parent;
    }

    /** Empty where limits cannot be enforced. */
    static Optional<Cgroups> ofThisProcess() {
        return of(Path.of("/sys/fs/cgroup"), Path.of("/proc/self/cgroup"));
    }

    /**
     * @param mount  where cgroup v2 is mounted
     * @param member a file as {@code /proc/self/cgroup}
     */
    static Optional<Cgroups> of(Path mount, Path member) {
        try (Stream<String> lines = Files.lines(member)) {
            Path root = mount.toRealPath();
            Optional<Path> own = lines.filter(line -> line.startsWith("0::/"))
                    .map(line -> root.resolve(line.substring("0::/".length())))
                    .findFirst();
            return own.flatMap(group -> Stream.of(group, group.resolve("..").normalize())
                            .filter(directory -> directory.startsWith(root))
                            .filter(Cgroups::handsOn)
                            .findFirst())
                    .map(Cgroups::new);
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    private static boolean handsOn(Path directory) {
        try {
            List<String> controllers = List.of(Files.readString(directory.resolve("cgroup.subtree_control"))
                    .strip()
                    .split(" ", -1));
            return Files.isWritable(directory) && controllers.containsAll(List.of("cpu", "memory"));
        } catch (IOException e) {
            return false;
        }
    }

    /** Moves a server that has no children yet into a group of its own. It runs without limits if that fails. */
    void limit(String name, Profile profile, long postmaster) {
        Path group = parent.resolve(name);
        try {
            Files.createDirectories(group);
            Files.writeString(group.resolve("cpu.max"), Math.round(profile.cpus() * PERIOD) + " " + PERIOD);
            Files.writeString(group.resolve("memory.max"), Long.toString((long) profile.memoryMb() << 20));
            Files.writeString(group.resolve("cgroup.procs"), Long.toString(postmaster));
        } catch (IOException e) {
            LOG.warn("a server runs without its limits: group={} reason={}", group, e.toString());
        }
    }

    /** To be called when no process is left in it. */
    void remove(String name) {
        try {
            Files.deleteIfExists(parent.resolve(name));
        } catch (IOException e) {
            LOG.warn("a cgroup could not be removed: group={} reason={}", parent.resolve(name), e.toString());
        }
    }
}
