package io.spg99.tests.process;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** {@code spg99 dev} as a child process on this process's class path. */
public final class DevProcess implements AutoCloseable {

    private static final Duration START_LIMIT = Duration.ofSeconds(90);
    private static final Duration STOP_LIMIT = Duration.ofSeconds(20);

    private final Process process;
    private final Path data;
    private final JsonNode dev;

    private DevProcess(Process process, Path data, JsonNode dev) {
        this.process = process;
        this.data = data;
        this.dev = dev;
    }

    /** Starts {@code dev} on a data directory and free ports, and waits until it says that it is ready. */
    public static DevProcess start(Path data, String... options) {
        try {
            return ready(launch(data, options), data);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** @param environment beside this JVM's */
    public static DevProcess start(Path data, Map<String, String> environment, String... options) {
        try {
            return ready(launch(data, environment, options), data);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Waits until a process that {@link #launch} started says that it is ready. */
    public static DevProcess ready(Process process, Path data) throws IOException {
        ProcessOutput.of(process).await("SPG99 is ready", START_LIMIT);
        JsonNode dev = new ObjectMapper().readTree(data.resolve("dev.json").toFile());
        return new DevProcess(process, data, dev);
    }

    /**
     * Starts {@code dev} without waiting; its output is on the process's standard output.
     *
     * @param options of dev, or, with a leading {@code -D}, settings that override the configuration
     */
    public static Process launch(Path data, String... options) throws IOException {
        return launch(data, Map.of(), options);
    }

    /** The same as {@link OrdinaryUser}. */
    public static Process launch(OrdinaryUser user, Path data, String... options) throws IOException {
        return JavaProcess.start(user.become(), user.classPath(), List.of("-Xmx1g"), command(data, options));
    }

    private static Process launch(Path data, Map<String, String> environment, String... options) throws IOException {
        List<String> jvm = new ArrayList<>(List.of("-Xmx1g"));
        Stream.of(options).filter(option -> option.startsWith("-D")).forEach(jvm::add);
        return JavaProcess.start(List.of(), environment, jvm, command(data, options));
    }

    private static List<String> command(Path data, String... options) throws IOException {
        List<String> command = new ArrayList<>(List.of("dev", "--data", data.toString()));
        List<String> given = List.of(options);
        for (String port : List.of("--http-port", "--gateway-port")) {
            if (!given.contains(port)) {
                command.addAll(List.of(port, String.valueOf(freePort())));
            }
        }
        command.addAll(given.stream().filter(option -> !option.startsWith("-D")).toList());
        return command;
    }

    public static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    /** A field of {@code dev.json}. */
    public String get(String field) {
        return dev.path(field).asText();
    }

    public Path data() {
        return data;
    }

    public Process process() {
        return process;
    }

    /** The demo tenant's {@code pg_user}. */
    public String user() {
        return userInfo()[0];
    }

    public String password() {
        return userInfo()[1];
    }

    private String[] userInfo() {
        return URI.create(get("dsn")).getUserInfo().split(":", 2);
    }

    /** The demo database as a JDBC URL for PgJDBC, TLS required. */
    public String jdbcUrl() {
        return jdbcUrl(get("database"));
    }

    public String jdbcUrl(String database) {
        return "jdbc:postgresql://%s:%s/%s?sslmode=require"
                .formatted(get("gateway_host"), get("gateway_port"), database);
    }

    public ApiClient api() {
        return new ApiClient(get("api_url"), get("api_key"));
    }

    /** Memory of the program's own process, without its PostgreSQL servers. */
    public long residentKilobytes() throws IOException {
        return kilobytes("VmRSS:");
    }

    /** The most of it since the start, or since {@link #forgetPeak}. */
    public long peakKilobytes() throws IOException {
        return kilobytes("VmHWM:");
    }

    public void forgetPeak() throws IOException {
        Files.writeString(Path.of("/proc/" + process.pid() + "/clear_refs"), "5");
    }

    private long kilobytes(String field) throws IOException {
        return Files.readAllLines(Path.of("/proc/" + process.pid() + "/status")).stream()
                .filter(line -> line.startsWith(field))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                .findFirst()
                .orElseThrow();
    }

    /** SIGTERM, and waits for the orderly end. */
    public void stop() {
        process.destroy();
        await();
    }

    /** SIGKILL. */
    public void kill() {
        process.destroyForcibly();
        await();
    }

    private void await() {
        try {
            if (!process.waitFor(STOP_LIMIT.toSeconds(), TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new IllegalStateException("dev did not end: limit=" + STOP_LIMIT + " pid=" + process.pid());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    @Override
    public void close() {
        if (process.isAlive()) {
            stop();
        }
    }

    /** A directory under the system's temporary one that PostgreSQL's user can reach. */
    public static Path temporaryDirectory() throws IOException {
        Path directory = Files.createTempDirectory("spg99-");
        // Otherwise root's platform would put PostgreSQL's files elsewhere, where no test removes them.
        return Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwx--x--x"));
    }
}
