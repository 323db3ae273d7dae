package io.spg99.compute.generation;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/** What processes have used of the processors, from Linux's {@code /proc}. */
final class ProcessTimes {

    /** Of user space: the kernel counts in these whatever it works with itself. */
    private static final int TICKS_PER_SECOND = 100;

    /** Fields of {@code /proc/<pid>/stat}, counted from what follows the process's name. */
    private static final int UTIME = 11;

    private static final int CSTIME = 14;

    private ProcessTimes() {}

    /**
     * Of a process, its children, and the children that have ended: what a postmaster and its server have used. Empty if the
     * process is gone, or there is no {@code /proc}.
     */
    static Optional<Duration> ofTree(long pid) {
        Path proc = Path.of("/proc", Long.toString(pid));
        try {
            long ticks = ticks(proc, CSTIME);
            String children = Files.readString(
                    proc.resolve("task").resolve(Long.toString(pid)).resolve("children"));
            for (String child : children.split(" ", -1)) {
                if (!child.isBlank()) {
                    ticks += ofChild(Path.of("/proc", child.strip()));
                }
            }
            return Optional.of(Duration.ofMillis(ticks * 1000 / TICKS_PER_SECOND));
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    private static long ofChild(Path proc) {
        try {
            return ticks(proc, UTIME + 1);
        } catch (IOException e) {
            return 0; // it has ended meanwhile: the next time it is one of those
        }
    }

    /** @param last the last of the times that count: own user and system time, then those of ended children */
    private static long ticks(Path proc, int last) throws IOException {
        String stat = Files.readString(proc.resolve("stat"));
        // The name is in parentheses and may hold anything.
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
        long ticks = 0;
        for (int field = UTIME; field <= last; field++) {
            ticks += Long.parseLong(fields[field]);
        }
        return ticks;
    }
}
