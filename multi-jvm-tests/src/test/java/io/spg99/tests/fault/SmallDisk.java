package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * A file system of a process's own over its directory, seen by nobody else and gone when that process and its children end: nothing is left
 * mounted, whatever happens to the test. The process's log is elsewhere, as it must go on.
 */
final class SmallDisk {

    private static final String MOUNT =
            "mount -t tmpfs -o \"size=$3,mode=711\" tmpfs \"$1\" && mkdir \"$1/logs\" && mount --bind \"$2\" \"$1/logs\""
                    + " && shift 3 && exec \"$@\"";

    private SmallDisk() {}

    /** Skips the test where nobody may mount. */
    static void assumePossible() throws InterruptedException {
        assumeTrue(mounts(), "no right to mount: a small disk cannot be made");
    }

    private static boolean mounts() throws InterruptedException {
        try {
            return new ProcessBuilder("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
                            .redirectErrorStream(true)
                            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                            .start()
                            .waitFor()
                    == 0;
        } catch (IOException e) {
            return false;
        }
    }

    /**
     * Program with arguments that becomes the one whose command follows, with such a disk.
     *
     * @param home an empty directory
     * @param logs where {@code logs} of that directory is
     */
    static List<String> wrapper(Path home, Path logs, int megabytes) {
        return List.of(
                "unshare", "--mount", "sh", "-c", MOUNT, "sh", home.toString(), logs.toString(), megabytes + "m");
    }

    /** A directory as a process sees it. */
    static Path seenBy(long pid, Path directory) {
        return Path.of("/proc/" + pid + "/root" + directory);
    }

    /** Writes a file until the disk is full. */
    static void fill(Path file) throws IOException {
        byte[] zeros = new byte[1 << 16];
        try (OutputStream out = Files.newOutputStream(file)) {
            while (true) {
                out.write(zeros);
            }
        } catch (IOException e) {
            assertTrue(String.valueOf(e.getMessage()).contains("No space left"), e.toString());
        }
    }
}
