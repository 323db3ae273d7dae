package io.spg99.lifecycle.postgres;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.compressors.xz.XZCompressorInputStream;
import org.awaitility.Awaitility;

/** One PostgreSQL for all tests of a JVM, with a fresh database for each that asks; gone when the JVM ends. */
public final class TestPostgres {

    private static final TestPostgres ONLY = start();
    private static int databases;

    private final Path directory;
    private final int port;
    private final Process postmaster;

    private TestPostgres(Path directory, int port, Process postmaster) {
        this.directory = directory;
        this.port = port;
        this.postmaster = postmaster;
    }

    /** A new, empty database. User {@code postgres}, no password, loopback only. */
    public static synchronized String freshDatabase() throws SQLException {
        databases++;
        String name = "test" + databases;
        try (Connection connection = DriverManager.getConnection(ONLY.url("postgres"), "postgres", "");
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE DATABASE " + name);
        }
        return ONLY.url(name);
    }

    private String url(String database) {
        return "jdbc:postgresql://127.0.0.1:" + port + "/" + database;
    }

    private static TestPostgres start() {
        try {
            Path directory = Files.createTempDirectory("spg99-catalog-test");
            Set<PosixFilePermission> open = PosixFilePermissions.fromString("rwxr-xr-x");
            Files.setPosixFilePermissions(directory, open);
            Path programs = Files.createDirectory(directory.resolve("programs"));
            unpack(programs);
            Path data = Files.createDirectory(directory.resolve("data"));
            List<String> unprivileged = unprivileged(data);
            run(
                    unprivileged,
                    programs.resolve("bin/initdb").toString(),
                    "-D",
                    data.toString(),
                    "-U",
                    "postgres",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--no-sync",
                    "--no-instructions");
            int port = freePort();
            List<String> command = new ArrayList<>(unprivileged);
            command.addAll(List.of(
                    programs.resolve("bin/postgres").toString(),
                    "-D",
                    data.toString(),
                    "-p",
                    String.valueOf(port),
                    "-c",
                    "listen_addresses=127.0.0.1",
                    "-c",
                    "unix_socket_directories=",
                    "-c",
                    "fsync=off",
                    "-c",
                    "shared_buffers=16MB"));
            Process postmaster = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(directory.resolve("postgres.log").toFile())
                    .start();
            TestPostgres server = new TestPostgres(directory, port, postmaster);
            Runtime.getRuntime().addShutdownHook(new Thread(server::stop));
            Awaitility.await("PostgreSQL answers")
                    .atMost(Duration.ofSeconds(30))
                    .until(server::answers);
            return server;
        } catch (IOException e) {
            throw new IllegalStateException("PostgreSQL for tests did not start", e);
        }
    }

    private boolean answers() {
        try (Connection connection = DriverManager.getConnection(url("postgres"), "postgres", "")) {
            return connection.isValid(5);
        } catch (SQLException e) {
            return false;
        }
    }

    /** PostgreSQL refuses to run as root: a prefix that steps down, and the data directory handed over. */
    private static List<String> unprivileged(Path data) throws IOException {
        if (!"root".equals(System.getProperty("user.name"))) {
            return List.of();
        }
        String user = Files.readString(Path.of("/etc/passwd")).contains("\npostgres:") ? "postgres" : "nobody";
        Files.setOwner(
                data, data.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName(user));
        String group = user.equals("nobody") ? "65534" : user;
        return List.of("setpriv", "--reuid=" + user, "--regid=" + group, "--clear-groups", "--");
    }

    private static void run(List<String> prefix, String... command) throws IOException {
        List<String> all = new ArrayList<>(prefix);
        all.addAll(List.of(command));
        Process process = new ProcessBuilder(all).redirectErrorStream(true).start();
        process.getOutputStream().close();
        String output = new String(process.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
        if (process.onExit().join().exitValue() != 0) {
            throw new IOException("command failed: " + all + "\n" + output);
        }
    }

    private static void unpack(Path target) throws IOException {
        String machine = System.getProperty("os.arch").equals("aarch64") ? "arm_64" : "x86_64";
        try (InputStream archive = Objects.requireNonNull(
                        TestPostgres.class.getResourceAsStream("/postgres-linux-" + machine + ".txz"));
                TarArchiveInputStream tar =
                        new TarArchiveInputStream(new XZCompressorInputStream(new BufferedInputStream(archive)))) {
            for (TarArchiveEntry entry = tar.getNextEntry(); entry != null; entry = tar.getNextEntry()) {
                Path path = target.resolve(entry.getName()).normalize();
                if (entry.isDirectory()) {
                    Files.createDirectories(path);
                    continue;
                }
                Files.createDirectories(Objects.requireNonNull(path.getParent()));
                if (entry.isSymbolicLink()) {
                    Files.createSymbolicLink(path, Path.of(entry.getLinkName()));
                } else {
                    Files.copy(tar, path);
                    if ((entry.getMode() & 0100) != 0) {
                        Files.setPosixFilePermissions(
                                path, EnumSet.copyOf(PosixFilePermissions.fromString("rwxr-xr-x")));
                    }
                }
            }
        }
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    private void stop() {
        try {
            new ProcessBuilder("kill", "-INT", String.valueOf(postmaster.pid()))
                    .start()
                    .waitFor();
            if (!postmaster.waitFor(10, TimeUnit.SECONDS)) {
                postmaster.destroyForcibly();
            }
            try (Stream<Path> all = Files.walk(directory)) {
                for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(path);
                }
            }
        } catch (IOException e) {
            throw new IllegalStateException("PostgreSQL for tests did not go", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
