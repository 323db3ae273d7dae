package io.spg99.compute.generation;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/**
 * What a server's processes use, from Linux's {@code /proc}.
 *
 * @param cpu    processor time since the server started, of those that have ended too
 * @param memory bytes of their own, now: what they share with others, {@code shared_buffers} for instance, is not counted
 */
record ServerUsage(Duration cpu, long memory) {

    /** Of user space: the kernel counts in these whatever it works with itself. */
    private static final int TICKS_PER_SECOND = 100;

    /** Fields of {@code /proc/<pid>/stat}, counted from what follows the process's name. */
    private static final int UTIME = 11;

    private static final int CSTIME = 14;

    /** Fields of {@code /proc/<pid>/statm}, in pages. */
    private static final int RESIDENT = 1;

    private static final int SHARED = 2;

    private static final int PAGE = 4096;

    /**
     * Of a process, its children, and the children that have ended: what a postmaster and its server have used. Empty if the
     * process is gone, or there is no {@code /proc}.
     */
    static Optional<ServerUsage> ofTree(long pid) {
        Path proc = Path.of("/proc", Long.toString(pid));
        try {
            long ticks = ticks(proc, CSTIME);
            long pages = ownPages(proc);
            String children = Files.readString(
                    proc.resolve("task").resolve(Long.toString(pid)).resolve("children"));
            for (String child : children.split(" ", -1)) {
                if (!child.isBlank()) {
                    Path its = Path.of("/proc", child.strip());
                    ticks += orGone(() -> ticks(its, UTIME + 1));
                    pages += orGone(() -> ownPages(its));
                }
            }
            return Optional.of(new ServerUsage(Duration.ofMillis(ticks * 1000 / TICKS_PER_SECOND), pages * PAGE));
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    private interface Figure {
        long read() throws IOException;
    }

    private static long orGone(Figure figure) {
        try {
            return figure.read();
        } catch (IOException e) {
            return 0; // it has ended meanwhile: the next time its processor time is in its parent's
        }
    }

    private static long ownPages(Path proc) throws IOException {
        String[] fields = Files.readString(proc.resolve("statm")).split(" ", -1);
        return Long.parseLong(fields[RESIDENT]) - Long.parseLong(fields[SHARED]);
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
