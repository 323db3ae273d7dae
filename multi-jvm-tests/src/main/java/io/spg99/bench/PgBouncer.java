package io.spg99.bench;

import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.postgres.Programs;
import io.spg99.tests.process.LocalPostgres;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** The machine's PgBouncer before a local PostgreSQL, in transaction mode. */
final class PgBouncer implements AutoCloseable {

    private static final Duration LIMIT = Duration.ofSeconds(10);
    private static final Pattern VERSION = Pattern.compile("PgBouncer (\\d+)\\.(\\d+)");

    /** The first that follows prepared statements in transaction mode. */
    private static final int PREPARES_SINCE = 21;

    private final Process process;
    private final int port;
    private final boolean prepares;

    private PgBouncer(Process process, int port, boolean prepares) {
        this.process = process;
        this.port = port;
        this.prepares = prepares;
    }

    /** Where it is installed; empty if it is not. */
    static Optional<Path> program() {
        String path = System.getenv().getOrDefault("PATH", "/usr/bin:/bin") + ":/usr/sbin";
        return Stream.of(path.split(":"))
                .map(directory -> Path.of(directory, "pgbouncer"))
                .filter(Files::isExecutable)
                .findFirst();
    }

    /** With the server's certificate. */
    static PgBouncer start(Path program, LocalPostgres server, String user, String password, int connections)
            throws IOException {
        Matcher version = VERSION.matcher(
                Programs.run(List.of(program.toString(), "--version"), PostgresProcess.environment(), "", LIMIT));
        if (!version.find()) {
            throw new IOException("PgBouncer does not tell its version: program=" + program);
        }
        OsUser os = server.user();
        Path directory = server.socketDirectory();
        int port = PostgresProcess.freePort(InetAddress.getLoopbackAddress());
        Path users = directory.resolve("pgbouncer.users");
        Path settings = directory.resolve("pgbouncer.ini");
        boolean prepares =
                Integer.parseInt(version.group(1)) > 1 || Integer.parseInt(version.group(2)) >= PREPARES_SINCE;
        os.writePrivate(users, "\"%s\" \"%s\"\n".formatted(user, password).getBytes(StandardCharsets.UTF_8));
        String text = """
                [databases]
                %s = host=%s port=%d user=%s
                [pgbouncer]
                listen_addr = 127.0.0.1
                listen_port = %d
                unix_socket_dir =
                auth_type = scram-sha-256
                auth_file = %s
                pool_mode = transaction
                default_pool_size = %d
                max_client_conn = 2000
                client_tls_sslmode = allow
                client_tls_cert_file = %s
                client_tls_key_file = %s
                ignore_startup_parameters = extra_float_digits
                log_connections = 0
                log_disconnections = 0
                %s
                """.formatted(
                        GatewayBench.DATABASE,
                        directory,
                        server.port(),
                        user,
                        port,
                        users,
                        connections,
                        server.certificate(),
                        server.key(),
                        prepares ? "max_prepared_statements = 200" : "");
        os.writePrivate(settings, text.getBytes(StandardCharsets.UTF_8));
        Process process = new ProcessBuilder(os.command(List.of(program.toString(), "--quiet", settings.toString())))
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        PgBouncer started = new PgBouncer(process, port, prepares);
        started.awaitListening();
        return started;
    }

    private void awaitListening() throws IOException {
        long deadline = System.nanoTime() + LIMIT.toNanos();
        while (!listening()) {
            if (!process.isAlive() || System.nanoTime() > deadline) {
                close();
                throw new IOException("PgBouncer does not listen: port=" + port + " limit=" + LIMIT);
            }
            try {
                TimeUnit.MILLISECONDS.sleep(50);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IOException("interrupted", e);
            }
        }
    }

    private boolean listening() {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 100);
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    int port() {
        return port;
    }

    long pid() {
        return process.pid();
    }

    /** Whether prepared statements of the protocol work in transaction mode. */
    boolean prepares() {
        return prepares;
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }
}
