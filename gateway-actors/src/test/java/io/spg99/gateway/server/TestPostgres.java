package io.spg99.gateway.server;

import java.io.IOException;
import java.io.InputStream;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.compressors.xz.XZCompressorInputStream;
import org.awaitility.Awaitility;

/** A stock PostgreSQL 17 set up as a compute is: TLS, client certificates, the tenant's role and database. */
final class TestPostgres {

    static final String USER = "tnt_test";
    static final String DATABASE = "app";

    private final Path root;
    private final TestCertificates certificates;
    private final List<String> unprivileged;
    private final int port;
    private Process process;

    TestPostgres() throws Exception {
        root = Files.createTempDirectory(
                "spg99-gateway-test",
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x")));
        unprivileged = unprivileged();
        certificates = new TestCertificates(root);
        unpack();
        port = freePort();
        Path data = Files.createDirectory(root.resolve("data"));
        owned(data);
        run("initdb", "-D", data.toString(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync");
        configure(data);
        process = start(data);
        Awaitility.await("PostgreSQL is up")
                .atMost(Duration.ofSeconds(30))
                .ignoreExceptions()
                .until(() -> {
                    admin().close();
                    return true;
                });
        try (Connection admin = admin();
                Statement statement = admin.createStatement()) {
            statement.execute("CREATE ROLE " + USER + " LOGIN");
            statement.execute("CREATE DATABASE " + DATABASE + " OWNER " + USER);
        }
    }

    int port() {
        return port;
    }

    Path root() {
        return root;
    }

    Path log() {
        return root.resolve("log");
    }

    TestCertificates certificates() {
        return certificates;
    }

    /** As superuser, past the Gateway. */
    Connection admin() throws SQLException {
        return adminOf("postgres");
    }

    Connection adminOf(String database) throws SQLException {
        return DriverManager.getConnection(
                "jdbc:postgresql://127.0.0.1:" + port + "/" + database + "?sslmode=disable", "postgres", "");
    }

    void admin(String sql) throws SQLException {
        try (Connection admin = admin();
                Statement statement = admin.createStatement()) {
            statement.execute(sql);
        }
    }

    private void configure(Path data) throws IOException {
        for (String name : List.of("compute", "ca")) {
            for (Path file : List.of(certificates.certificate(name), certificates.key(name))) {
                Path copy = Files.copy(file, data.resolve(file.getFileName()));
                Files.setPosixFilePermissions(copy, PosixFilePermissions.fromString("rw-------"));
                owned(copy);
            }
        }
        Files.writeString(data.resolve("postgresql.conf"), """
                listen_addresses = '127.0.0.1'
                port = %d
                unix_socket_directories = ''
                ssl = on
                ssl_cert_file = 'compute.pem'
                ssl_key_file = 'compute.key'
                ssl_ca_file = 'ca.pem'
                fsync = off
                shared_buffers = 32MB
                max_connections = 60
                # Never there: with synchronous_commit = on, a commit waits for ever.
                synchronous_standby_names = 'sk1'
                synchronous_commit = local
                """.formatted(port));
        Files.writeString(data.resolve("pg_hba.conf"), """
                hostnossl all postgres,%s 127.0.0.1/32 trust
                hostssl all all all cert map=gateway
                """.formatted(USER));
        Files.writeString(data.resolve("pg_ident.conf"), "gateway spg99-gateway " + USER + "\n");
    }

    private Process start(Path data) throws IOException {
        List<String> command = new ArrayList<>(unprivileged);
        command.addAll(List.of(root.resolve("bin/postgres").toString(), "-D", data.toString()));
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log().toFile())
                .start();
    }

    private void run(String program, String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(unprivileged);
        command.add(root.resolve("bin").resolve(program).toString());
        command.addAll(List.of(arguments));
        Process running = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(root.resolve(program + ".log").toFile())
                .start();
        if (!running.waitFor(60, TimeUnit.SECONDS) || running.exitValue() != 0) {
            throw new IOException(program + " failed: " + Files.readString(root.resolve(program + ".log")));
        }
    }

    private void unpack() throws IOException {
        try (InputStream resource = Objects.requireNonNull(
                        TestPostgres.class.getResourceAsStream("/postgres-linux-x86_64.txz"),
                        "no PostgreSQL on the class path");
                TarArchiveInputStream tar = new TarArchiveInputStream(new XZCompressorInputStream(resource))) {
            for (TarArchiveEntry entry = tar.getNextEntry(); entry != null; entry = tar.getNextEntry()) {
                Path file = root.resolve(entry.getName()).normalize();
                if (entry.isDirectory()) {
                    Files.createDirectories(file);
                } else {
                    Files.createDirectories(Objects.requireNonNull(file.getParent()));
                    if (entry.isSymbolicLink()) {
                        Files.createSymbolicLink(file, Path.of(entry.getLinkName()));
                    } else {
                        Files.copy(tar, file);
                        Files.setPosixFilePermissions(
                                file,
                                PosixFilePermissions.fromString(
                                        (entry.getMode() & 0111) != 0 ? "rwxr-xr-x" : "rw-r--r--"));
                    }
                }
            }
        }
    }

    /** PostgreSQL refuses to run as root. */
    private static List<String> unprivileged() throws IOException {
        if (!"root".equals(System.getProperty("user.name"))) {
            return List.of();
        }
        return List.of("setpriv", "--reuid=" + owner(), "--regid=" + id("-g"), "--clear-groups", "--");
    }

    private static String owner() throws IOException {
        return Files.readAllLines(Path.of("/etc/passwd")).stream().anyMatch(line -> line.startsWith("postgres:"))
                ? "postgres"
                : "nobody";
    }

    private static String id(String option) throws IOException {
        Process id = new ProcessBuilder("id", option, owner()).start();
        return new String(id.getInputStream().readAllBytes(), StandardCharsets.US_ASCII).trim();
    }

    private void owned(Path path) throws IOException {
        if (!unprivileged.isEmpty()) {
            Files.setOwner(
                    path, path.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName(owner()));
        }
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    void stop() throws Exception {
        new ProcessBuilder("kill", "-QUIT", Long.toString(process.pid()))
                .start()
                .waitFor();
        process.waitFor(10, TimeUnit.SECONDS);
        Files.walkFileTree(root, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.delete(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path directory, IOException failure) throws IOException {
                Files.delete(directory);
                return FileVisitResult.CONTINUE;
            }
        });
    }
}
