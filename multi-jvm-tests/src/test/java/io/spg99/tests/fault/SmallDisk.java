package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.spg99.tests.process.Program;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

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
    static void assumePossible() {
        assumeTrue(
                Program.succeeds("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"),
                "no right to mount: a small disk cannot be made");
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

    /** A file that takes whatever room there is, also what others give back, until its end; then there is room again. */
    static final class Filler {

        private static final long LOOK_AGAIN_MILLIS = 2;

        private final Path file;
        private final CountDownLatch full = new CountDownLatch(1);
        private final Thread thread;

        private Filler(Path file) {
            this.file = file;
            this.thread = Thread.ofPlatform().name("filler").daemon().start(this::run);
        }

        private void run() {
            byte[] zeros = new byte[1 << 12];
            try (OutputStream out = new FileOutputStream(file.toFile())) {
                while (!Thread.interrupted()) {
                    write(out, zeros);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        private void write(OutputStream out, byte[] zeros) throws InterruptedException {
            try {
                out.write(zeros);
            } catch (IOException e) {
                assertTrue(String.valueOf(e.getMessage()).contains("No space left"), e.toString());
                full.countDown();
                Thread.sleep(LOOK_AGAIN_MILLIS);
            }
        }

        void end() throws IOException, InterruptedException {
            thread.interrupt();
            thread.join();
            Files.delete(file);
        }
    }

    /** Writes a file until the disk is full, and keeps it full. */
    static Filler fill(Path file) throws InterruptedException {
        Filler filler = new Filler(file);
        assertTrue(filler.full.await(30, TimeUnit.SECONDS), "the disk is not full");
        return filler;
    }
}
