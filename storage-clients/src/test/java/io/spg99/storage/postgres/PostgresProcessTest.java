package io.spg99.storage.postgres;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.spg99.storage.file.FileTree;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** A server by itself, as the embedded journal uses it too. */
class PostgresProcessTest {

    /** After SIGKILL of the program no PostgreSQL may be left for longer. */
    private static final Duration ORPHAN_LIMIT = Duration.ofSeconds(5);

    private final TestServers platform = TestServers.shared();

    private Path initdb() throws IOException {
        Path pgdata = platform.user()
                .createPrivateDirectory(platform.directory("server").resolve("pgdata"));
        Programs.run(
                platform.user()
                        .command(List.of(
                                platform.binaries().program("initdb").toString(),
                                "-D",
                                pgdata.toString(),
                                "--no-sync",
                                "--auth=reject")),
                PostgresProcess.environment(),
                "",
                Duration.ofMinutes(1));
        return pgdata;
    }

    private PostgresProcess start(Path pgdata, Map<String, String> settings) throws IOException {
        return PostgresProcess.start(new PostgresProcess.Launch(
                platform.binaries(),
                platform.user(),
                pgdata,
                settings,
                false,
                PostgresLog.sink(Map.of("database", "test", "generation", "0"))));
    }

    private static final Map<String, String> QUIET =
            Map.of("listen_addresses", "", "unix_socket_directories", ".", "dynamic_shared_memory_type", "mmap");

    @Test
    void givenServer_whenStoppedAndStartedAndBroken_thenItSaysWhatHappened() throws Exception {
        Path pgdata = initdb();
        PostgresProcess server = start(pgdata, QUIET);
        server.ready().toCompletableFuture().get(10, TimeUnit.SECONDS);
        assertTrue(server.isAlive());
        int status = server.stop(PostgresProcess.Stop.FAST, Duration.ofSeconds(5))
                .toCompletableFuture()
                .get(10, TimeUnit.SECONDS);
        assertEquals(0, status);
        assertTrue(PgControl.read(pgdata).isShutDown());
        assertFalse(Files.exists(pgdata.resolve("postmaster.pid")));

        PostgresProcess broken = start(pgdata, Map.of("shared_buffers", "none"));
        ExecutionException e = assertThrows(
                ExecutionException.class,
                () -> broken.ready().toCompletableFuture().get(10, TimeUnit.SECONDS));
        assertTrue(e.toString().contains("shared_buffers"), e.getMessage());

        PostgresProcess immediate = start(pgdata, QUIET);
        immediate.ready().toCompletableFuture().get(10, TimeUnit.SECONDS);
        immediate
                .stop(PostgresProcess.Stop.IMMEDIATE, Duration.ZERO)
                .toCompletableFuture()
                .get(5, TimeUnit.SECONDS);
        assertFalse(PgControl.read(pgdata).isShutDown());

        PostgresProcess killed = start(pgdata, QUIET);
        killed.ready().toCompletableFuture().get(10, TimeUnit.SECONDS);
        String segment = Files.readAllLines(pgdata.resolve("postmaster.pid"))
                .get(6)
                .strip()
                .replaceFirst(".*\\s", "");
        killed.kill();
        assertEquals(137, killed.exit().toCompletableFuture().get(5, TimeUnit.SECONDS));
        PostgresProcess.removeRemains(pgdata);
        assertFalse(
                Files.readAllLines(Path.of("/proc/sysvipc/shm")).stream()
                        .anyMatch(line -> line.contains(" " + segment + " ")),
                "the shared memory segment is gone");
    }

    @Test
    void givenOwnerKilled_whenSignalled_thenServerIsGoneWithinTheLimit() throws Exception {
        killOwner(List.of(), System.getProperty("java.class.path"), "signal");
    }

    @Test
    void givenOwnerKilledWithoutParentDeathSignal_whenWatchdogNotices_thenServerIsGoneWithinTheLimit()
            throws Exception {
        killOwner(List.of(), System.getProperty("java.class.path"), "watchdog");
    }

    /** The same where we are no root: only possible here if we are, and can be somebody else for it. */
    @Test
    void givenOwnerIsAnOrdinaryUser_whenKilled_thenServerIsGoneWithinTheLimit() throws Exception {
        assumeTrue(platform.user().switched(), "not root: the tests above are this one already");
        Path classes = platform.directory("classes");
        List<String> reachable = new ArrayList<>();
        for (String entry : System.getProperty("java.class.path").split(File.pathSeparator, -1)) {
            // What the child needs is small; the rest of the class path may lie where others cannot read.
            if (entry.contains("xz")
                    || entry.contains("slf4j-api")
                    || entry.contains("commons-compress")
                    || entry.contains("storage-clients")) {
                Path copy = classes.resolve(Integer.toString(reachable.size()));
                copyTree(Path.of(entry), copy);
                reachable.add(copy.toString());
            }
        }
        List<String> asNobody = List.of("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups");
        killOwner(asNobody, String.join(File.pathSeparator, reachable), "signal");
    }

    private void killOwner(List<String> prefix, String classPath, String how) throws Exception {
        Path directory = TestServers.reachableDirectory("spg99-owner-");
        Files.setPosixFilePermissions(directory, java.nio.file.attribute.PosixFilePermissions.fromString("rwxrwxrwx"));
        List<String> command = new ArrayList<>(prefix);
        command.addAll(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                classPath,
                OwnerMain.class.getName(),
                platform.binaries().home().toString(),
                directory.toString(),
                how));
        Process owner = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try (BufferedReader out = owner.inputReader(StandardCharsets.UTF_8)) {
            String line = out.readLine();
            assertTrue(line != null && line.matches("[0-9]+"), "the owner has started its server: line=" + line);
            ProcessHandle postmaster = ProcessHandle.of(Long.parseLong(line)).orElseThrow();
            List<ProcessHandle> processes = Stream.concat(Stream.of(postmaster), postmaster.descendants())
                    .toList();
            assertTrue(processes.size() > 3, "postmaster and its children");

            owner.destroyForcibly();

            await("postmaster and children are gone")
                    .atMost(ORPHAN_LIMIT)
                    .until(() -> processes.stream().noneMatch(ProcessHandle::isAlive));
        } finally {
            owner.destroyForcibly();
            FileTree.delete(directory);
        }
    }

    private static void copyTree(Path from, Path to) throws IOException {
        try (Stream<Path> paths = Files.walk(from)) {
            for (Path path : paths.toList()) {
                Files.copy(path, to.resolve(from.relativize(path).toString()));
            }
        }
    }
}
