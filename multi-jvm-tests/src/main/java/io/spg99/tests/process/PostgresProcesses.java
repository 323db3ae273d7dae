package io.spg99.tests.process;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** PostgreSQL servers running below a data directory, found in the process table. */
public final class PostgresProcesses {

    private PostgresProcesses() {}

    /** Process ids of everything that runs in a compute's data directory of {@code databaseId}. */
    public static List<Long> ofDatabase(Path data, String databaseId) {
        return workingBelow(data).stream()
                .filter(pid -> workingDirectory(pid).toString().contains("/" + databaseId + "/"))
                .toList();
    }

    /** Process ids of all PostgreSQL processes, of computes and of the journal, that belong to a data directory. */
    public static List<Long> workingBelow(Path data) {
        try {
            Path postgres = data.resolve("postgres");
            return workingIn(Files.exists(postgres) ? postgres.toRealPath() : data.toAbsolutePath());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Process ids of everything that runs in a directory or below. */
    public static List<Long> workingIn(Path directory) {
        return ProcessHandle.allProcesses()
                .map(ProcessHandle::pid)
                .filter(pid -> workingDirectory(pid).startsWith(directory))
                .toList();
    }

    /** What a PostgreSQL process says that it does; empty if it is gone. */
    public static String title(long pid) {
        try {
            return Files.readString(Path.of("/proc/" + pid + "/cmdline"));
        } catch (IOException e) {
            return "";
        }
    }

    /** The postmaster of a database's compute: the one whose parent is not in the same directory. */
    public static long postmaster(Path data, String databaseId) {
        List<Long> all = ofDatabase(data, databaseId);
        return all.stream()
                .filter(pid -> ProcessHandle.of(pid)
                        .flatMap(ProcessHandle::parent)
                        .map(parent -> !all.contains(parent.pid()))
                        .orElse(true))
                .findFirst()
                .orElseThrow(() -> new IllegalStateException("no postmaster: database=" + databaseId));
    }

    /** Directories named {@code name} below a data directory. */
    public static List<Path> directoriesNamed(Path data, String name) {
        try (Stream<Path> tree = Files.walk(data.resolve("postgres").toRealPath())) {
            return tree.filter(path -> path.getFileName().toString().equals(name))
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Of a PostgreSQL process that is its data directory; empty if the process has ended, or is not ours to look at. */
    public static Path workingDirectory(long pid) {
        try {
            return Files.readSymbolicLink(Path.of("/proc/" + pid + "/cwd"));
        } catch (IOException e) {
            return Path.of("");
        }
    }
}
