package io.spg99.nodes.safekeeper;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.safekeeper.WalSegmentFiles;
import io.spg99.storage.safekeeper.WalSegmentName;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.compressors.xz.XZCompressorInputStream;
import org.awaitility.Awaitility;
import org.awaitility.core.ConditionTimeoutException;
import org.awaitility.core.TerminalFailureException;

/** Stock PostgreSQL 17 for tests: an installation, a base image, and generations started from it. */
final class TestPostgres {

    static final int SEGMENT_SIZE = 1 << 20;
    static final String SUPERUSER = "spg99_agent";

    private final Path root;
    private final Path installation;
    private final Path image;
    private final TimelineBase base;
    private final TlsIdentity compute;
    private final List<Generation> generations = new ArrayList<>();

    TestPostgres() throws Exception {
        root = Files.createTempDirectory(
                "spg99-test", PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x")));
        installation = root.resolve("postgres");
        unpack(installation);
        Path certificates = Files.createDirectory(root.resolve("certificates"));
        pki = new TestPki(certificates);
        compute = pki.issue(TlsIdentity.COMPUTE);
        image = root.resolve("image");
        base = makeImage();
    }

    private final TestPki pki;

    TestPki pki() {
        return pki;
    }

    Path root() {
        return root;
    }

    TimelineBase base() {
        return base;
    }

    private static void unpack(Path target) throws IOException {
        String architecture = System.getProperty("os.arch").equals("aarch64") ? "arm_64" : "x86_64";
        try (InputStream archive = TestPostgres.class.getResourceAsStream("/postgres-linux-" + architecture + ".txz");
                TarArchiveInputStream tar = new TarArchiveInputStream(new XZCompressorInputStream(archive))) {
            TarArchiveEntry entry = tar.getNextEntry();
            while (entry != null) {
                Path file = target.resolve(entry.getName()).normalize();
                if (entry.isDirectory()) {
                    Files.createDirectories(file);
                } else if (entry.isSymbolicLink()) {
                    Files.createDirectories(file.getParent());
                    Files.createSymbolicLink(file, Path.of(entry.getLinkName()));
                } else {
                    Files.createDirectories(file.getParent());
                    Files.copy(tar, file);
                    if ((entry.getMode() & 0100) != 0) {
                        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
                    }
                }
                entry = tar.getNextEntry();
            }
        }
    }

    /** The shutdown checkpoint of the image is the first record of a WAL segment. */
    private TimelineBase makeImage() throws Exception {
        Files.createDirectory(image);
        own(image);
        run(
                null,
                "initdb",
                "-D",
                image.toString(),
                "-U",
                SUPERUSER,
                "--no-sync",
                "--no-locale",
                "--encoding=UTF8",
                "--wal-segsize=" + (SEGMENT_SIZE >> 20),
                "--auth=trust",
                "--no-instructions");
        run(
                "CREATE ROLE spg99_safekeeper REPLICATION LOGIN;\nSELECT pg_switch_wal();\n",
                "postgres",
                "--single",
                "-D",
                image.toString(),
                "postgres");
        ByteBuffer control = ByteBuffer.wrap(Files.readAllBytes(image.resolve("global/pg_control")))
                .order(ByteOrder.LITTLE_ENDIAN);
        long systemIdentifier = control.getLong(0);
        Lsn checkpoint = new Lsn(control.getLong(32));
        Lsn start = checkpoint.segmentStart(SEGMENT_SIZE);
        if (checkpoint.minus(start) != 40) {
            throw new IllegalStateException("the checkpoint is not the first record: " + checkpoint);
        }
        Path segment = image.resolve("pg_wal").resolve(WalSegmentName.of(1, start.segment(SEGMENT_SIZE), SEGMENT_SIZE));
        ByteBuffer wal = ByteBuffer.wrap(Files.readAllBytes(segment)).order(ByteOrder.LITTLE_ENDIAN);
        int length = (40 + wal.getInt(40) + 7) & -8;
        byte[] firstWal = new byte[length];
        wal.get(0, firstWal);
        try (Stream<Path> files = Files.list(image.resolve("pg_wal"))) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                Files.delete(file);
            }
        }
        return new TimelineBase(
                new TimelineId("0123456789abcdef0123456789abcdef"), systemIdentifier, SEGMENT_SIZE, start, firstWal);
    }

    /** Starts a generation over the WAL that the sources have, as a compute would. */
    Generation start(int generation, WalHistory history, Lsn end, List<WalSource> sources, int port) throws Exception {
        Path data = root.resolve("generation-" + generation);
        copy(image, data);
        Path wal = data.resolve("pg_wal");
        try (WalSegmentFiles files = new WalSegmentFiles(wal, history, SEGMENT_SIZE)) {
            new WalFetch(base.timeline(), compute, "generation-" + generation)
                    .fetch(sources, history, base.start(), end, files);
        }
        int parent = history.last().generation();
        if (parent > 1) {
            StringBuilder lines = new StringBuilder();
            for (int i = 0; i + 1 < history.terms().size(); i++) {
                lines.append(history.terms().get(i).generation())
                        .append('\t')
                        .append(history.terms().get(i + 1).begin())
                        .append("\ttest\n");
            }
            Files.writeString(wal.resolve("%08X.history".formatted(parent)), lines);
        }
        for (int skipped = parent + 1; skipped < generation; skipped++) {
            Files.createFile(wal.resolve("%08X.history".formatted(skipped)));
        }
        Files.createFile(data.resolve("recovery.signal"));
        Path key = data.resolve("server.key");
        Files.copy(compute.key(), key);
        Files.setPosixFilePermissions(key, PosixFilePermissions.fromString("rw-------"));
        Files.copy(compute.certificate(), data.resolve("server.crt"));
        Files.copy(compute.ca(), data.resolve("ca.crt"));
        Files.writeString(data.resolve("postgresql.conf"), """
                listen_addresses = '127.0.0.1'
                port = %d
                unix_socket_directories = ''
                fsync = off
                full_page_writes = off
                restart_after_crash = off
                max_wal_senders = 10
                shared_buffers = 16MB
                hot_standby = off
                ssl = on
                ssl_cert_file = 'server.crt'
                ssl_key_file = 'server.key'
                ssl_ca_file = 'ca.crt'
                restore_command = '/bin/false'
                recovery_target_timeline = '%d'
                synchronous_standby_names = 'ANY 2 (sk1, sk2, sk3)'
                wal_keep_size = 0
                wal_recycle = off
                """.formatted(port, parent));
        Files.writeString(data.resolve("pg_hba.conf"), """
                hostssl replication spg99_safekeeper 127.0.0.1/32 cert map=spg99
                hostssl all spg99_agent 127.0.0.1/32 trust
                """);
        Files.writeString(data.resolve("pg_ident.conf"), "spg99 " + TlsIdentity.SAFEKEEPER + " spg99_safekeeper\n");
        own(data);
        Process process = new ProcessBuilder(asUser("postgres", "-D", data.toString()))
                .redirectErrorStream(true)
                .redirectOutput(
                        root.resolve("generation-" + generation + ".log").toFile())
                .start();
        Generation started = new Generation(generation, data, port, process);
        generations.add(started);
        started.awaitAccepting();
        return started;
    }

    static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    private List<String> asUser(String program, String... arguments) {
        List<String> command = new ArrayList<>();
        if (isRoot()) {
            command.addAll(List.of("setpriv", "--reuid=" + user(), "--regid=" + user(), "--clear-groups", "--"));
        }
        command.add(installation.resolve("bin").resolve(program).toString());
        command.addAll(List.of(arguments));
        return command;
    }

    private static boolean isRoot() {
        return System.getProperty("user.name").equals("root");
    }

    private static String user() {
        try (Stream<String> lines = Files.lines(Path.of("/etc/passwd"))) {
            return lines.anyMatch(line -> line.startsWith("postgres:")) ? "postgres" : "nobody";
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void own(Path directory) throws Exception {
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwx------"));
        if (isRoot()) {
            Process chown = new ProcessBuilder("chown", "-R", user() + ":", directory.toString())
                    .inheritIO()
                    .start();
            if (chown.waitFor() != 0) {
                throw new IllegalStateException("chown failed");
            }
        }
    }

    private void run(@org.jspecify.annotations.Nullable String input, String program, String... arguments)
            throws Exception {
        Process process = new ProcessBuilder(asUser(program, arguments))
                .redirectErrorStream(true)
                .directory(root.toFile())
                .start();
        try (var out = process.getOutputStream()) {
            if (input != null) {
                out.write(input.getBytes(UTF_8));
            }
        }
        String output = new String(process.getInputStream().readAllBytes(), UTF_8);
        if (process.waitFor() != 0) {
            throw new IllegalStateException(program + " failed: " + output);
        }
    }

    private static void copy(Path from, Path to) throws IOException {
        Files.walkFileTree(from, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes)
                    throws IOException {
                Files.createDirectories(to.resolve(from.relativize(directory)));
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.copy(file, to.resolve(from.relativize(file)));
                return FileVisitResult.CONTINUE;
            }
        });
    }

    /** Ends all servers and removes what they wrote. */
    void killAll() throws Exception {
        for (Generation generation : generations) {
            generation.kill();
            PostgresProcess.removeRemains(generation.data);
            FileTree.delete(generation.data);
        }
        generations.clear();
    }

    void close() throws Exception {
        killAll();
        FileTree.delete(root);
    }

    /** A running server. */
    static final class Generation {
        private final int number;
        private final Path data;
        private final int port;
        private final Process process;

        Generation(int number, Path data, int port, Process process) {
            this.number = number;
            this.data = data;
            this.port = port;
            this.process = process;
        }

        int number() {
            return number;
        }

        WriterAddress address() {
            return new WriterAddress("127.0.0.1", port);
        }

        Path wal() {
            return data.resolve("pg_wal");
        }

        Connection connect() throws SQLException {
            Properties properties = new Properties();
            properties.setProperty("user", SUPERUSER);
            properties.setProperty("sslmode", "require");
            return DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + port + "/postgres", properties);
        }

        private void awaitAccepting() {
            try {
                awaitRecoveryEnd();
            } catch (ConditionTimeoutException | TerminalFailureException e) {
                throw new IllegalStateException("generation " + number + " does not start:\n" + log(), e);
            }
        }

        String log() {
            try {
                return Files.readString(data.resolveSibling(data.getFileName() + ".log"));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        private void awaitRecoveryEnd() {
            Awaitility.await("generation " + number + " accepts connections and has ended recovery")
                    .atMost(Duration.ofSeconds(20))
                    .pollInterval(Duration.ofMillis(20))
                    .ignoreExceptions()
                    .failFast("the server has ended", () -> !process.isAlive())
                    .until(() -> {
                        try (Connection connection = connect();
                                var row = connection.createStatement().executeQuery("SELECT pg_is_in_recovery()")) {
                            return row.next() && !row.getBoolean(1);
                        }
                    });
        }

        /** Fast shutdown; how long it took. */
        Duration stop() throws Exception {
            long begin = System.nanoTime();
            signal("INT");
            if (!process.waitFor(20, TimeUnit.SECONDS)) {
                throw new IllegalStateException("generation " + number + " does not stop");
            }
            return Duration.ofNanos(System.nanoTime() - begin);
        }

        void kill() throws Exception {
            // The postmaster's children see it die.
            process.destroyForcibly();
            process.waitFor(10, TimeUnit.SECONDS);
        }

        private void signal(String name) throws Exception {
            new ProcessBuilder("kill", "-" + name, Long.toString(process.pid()))
                    .start()
                    .waitFor();
        }
    }
}
