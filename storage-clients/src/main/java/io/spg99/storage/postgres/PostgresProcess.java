package io.spg99.storage.postgres;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One running PostgreSQL server over one data directory.
 *
 * <p>It does not outlive this JVM, however that ends: the kernel sends the postmaster SIGQUIT (immediate shutdown) when
 * the thread that started it is gone, which is why all servers come from the one thread of {@link Launchers}.
 * Where {@code setpriv --pdeathsig} is missing, a small shell watches over it instead. It runs in a session of its own, so
 * that Ctrl-C in a terminal reaches us and not the server.
 */
public final class PostgresProcess {

    private static final Logger LOG = LoggerFactory.getLogger(PostgresProcess.class);

    /** Log lines kept for error reports. */
    private static final int KEPT_LINES = 200;

    /** Longest part of a log line that is kept, in bytes: a statement in it may be of any length. */
    private static final int LINE_LIMIT = 4096;

    /** From SIGQUIT to SIGKILL; the postmaster itself kills its children after 5 s. */
    private static final Duration QUIT_DEADLINE = Duration.ofSeconds(2);

    /** How long after the postmaster's end we wait for the rest of its log. */
    private static final Duration DRAIN_DEADLINE = Duration.ofSeconds(1);

    private static final Duration HELPER_DEADLINE = Duration.ofSeconds(10);

    private static final String READY = "database system is ready to accept connections";
    private static final String HELD = "spg99_guard: held";
    private static final String PORT_TAKEN = "Address already in use";

    /**
     * What to start.
     *
     * @param dataDirectory belongs to {@code user}, mode 0700
     * @param environment   beside what every server has
     * @param settings      override postgresql.conf; they are visible to everybody on this machine: no secrets
     * @param held          the server makes its memory and waits for {@link #proceed}; it must load the guard library
     * @param log           gets each line of the server's log, on a thread of its own
     */
    public record Launch(
            PostgresBinaries binaries,
            OsUser user,
            Path dataDirectory,
            Map<String, String> environment,
            Map<String, String> settings,
            boolean held,
            Consumer<String> log) {

        public Launch {
            environment = Map.copyOf(environment);
            settings = Map.copyOf(settings);
        }

        /** With the environment that every server has. */
        public Launch(
                PostgresBinaries binaries,
                OsUser user,
                Path dataDirectory,
                Map<String, String> settings,
                boolean held,
                Consumer<String> log) {
            this(binaries, user, dataDirectory, Map.of(), settings, held, log);
        }
    }

    /** How to stop. */
    public enum Stop {
        /** SIGINT: ends all sessions, writes a checkpoint, waits until the replicas have all WAL. */
        FAST("INT"),
        /** SIGQUIT: ends all processes at once. */
        IMMEDIATE("QUIT");

        private final String signal;

        Stop(String signal) {
            this.signal = signal;
        }
    }

    private final Launch launch;
    private final Process process;
    private volatile Consumer<String> log;
    private final Deque<String> lastLines = new ArrayDeque<>();
    private final CompletableFuture<Void> held = new CompletableFuture<>();
    private final CompletableFuture<Void> ready = new CompletableFuture<>();
    private final CompletableFuture<Void> drained = new CompletableFuture<>();
    private final CompletableFuture<Integer> exit;

    private PostgresProcess(Launch launch, Process process) {
        this.launch = launch;
        this.process = process;
        this.log = launch.log();
        this.exit = process.onExit()
                .thenCompose(ended -> drained.copy()
                        .completeOnTimeout(null, DRAIN_DEADLINE.toMillis(), TimeUnit.MILLISECONDS)
                        .thenApply(nothing -> ended.exitValue()));
        this.exit.thenAccept(status -> {
            IOException ended =
                    new IOException("PostgreSQL ended before it was ready: status=" + status + " log=" + lastError());
            held.completeExceptionally(ended);
            ready.completeExceptionally(ended);
        });
    }

    /**
     * Starts a server; returns at once, {@link #ready} tells when it takes connections. Blocks for some milliseconds.
     *
     * @throws IOException if no process could be started
     */
    public static PostgresProcess start(Launch launch) throws IOException {
        return start(launch, ParentDeath.SUPPORTED);
    }

    static PostgresProcess start(Launch launch, boolean parentDeathSignal) throws IOException {
        Process process = Launchers.run(
                launch.user(), parentDeathSignal, launch.dataDirectory(), launch.environment(), command(launch));
        PostgresProcess server = new PostgresProcess(launch, process);
        if (!launch.held()) {
            process.getOutputStream().close();
        }
        Thread.ofPlatform().name("postgres-log-" + process.pid()).daemon().start(server::readLog);
        if (!parentDeathSignal) {
            server.watch();
        }
        return server;
    }

    private static List<String> command(Launch launch) {
        List<String> command = new ArrayList<>();
        command.add(launch.binaries().program("postgres").toString());
        command.add("-D");
        command.add(launch.dataDirectory().toString());
        if (launch.held()) {
            command.add("-c");
            command.add("spg99.hold_recovery=on");
        }
        launch.settings().forEach((name, value) -> {
            command.add("-c");
            command.add(name + "=" + value);
        });
        return command;
    }

    /**
     * Completes when a server that is to be held has read its configuration and made its memory: its directory may be renamed
     * then, its control file exchanged. Fails if it ends before that.
     */
    public CompletionStage<Void> held() {
        return held.minimalCompletionStage();
    }

    /**
     * Lets a held server go on. Does not block.
     *
     * @param settings override what it was started with; with {@code data_directory} if that was renamed
     */
    public void proceed(Map<String, String> settings) throws IOException {
        StringBuilder lines = new StringBuilder();
        settings.forEach((name, value) -> {
            if (value.indexOf('\n') >= 0) {
                throw new IllegalArgumentException("a setting has a line feed: name=" + name);
            }
            lines.append(name).append('=').append(value).append('\n');
        });
        try (OutputStream input = process.getOutputStream()) {
            input.write(lines.append('\n').toString().getBytes(StandardCharsets.UTF_8));
        }
    }

    /** Passes the lines of the log on to {@code sink} from now on. */
    public void logTo(Consumer<String> sink) {
        log = sink;
    }

    /** A held server that is not to go on ends when its input does; the others have none. */
    private void giveUp() {
        try {
            process.getOutputStream().close();
        } catch (IOException e) {
            LOG.debug("a server's input is closed already: pid={}", pid(), e);
        }
    }

    /** What PostgreSQL and its tools run with: nothing of our own environment. */
    public static Map<String, String> environment() {
        return Map.of("LC_ALL", "C", "PGTZ", "UTC", "TZ", "UTC", "PATH", "/usr/bin:/bin");
    }

    public long pid() {
        return process.pid();
    }

    /** Completes when the server takes connections; fails if it ends before that. */
    public CompletionStage<Void> ready() {
        return ready.minimalCompletionStage();
    }

    /** Completes with the postmaster's exit status (128 + signal if killed) once it has ended and its log is read. */
    public CompletionStage<Integer> exit() {
        return exit.minimalCompletionStage();
    }

    public boolean isAlive() {
        return process.isAlive();
    }

    /** The last lines of the log, oldest first. */
    public List<String> lastLines() {
        synchronized (lastLines) {
            return List.copyOf(lastLines);
        }
    }

    /** The most telling of the last lines: the first PANIC or FATAL, or else the last line. */
    public String lastError() {
        List<String> lines = lastLines();
        Optional<String> worst =
                lines.stream().filter(line -> line.contains("PANIC:  ")).findFirst();
        if (worst.isEmpty()) {
            worst = lines.stream().filter(line -> line.contains("FATAL:  ")).findFirst();
        }
        return worst.orElse(lines.isEmpty() ? "(none)" : lines.getLast());
    }

    /** True if the server could not start because its port was taken meanwhile: another one may do. */
    public boolean portWasTaken() {
        return lastLines().stream().anyMatch(line -> line.contains(PORT_TAKEN));
    }

    /** A port on {@code address} that is free now. */
    public static int freePort(InetAddress address) throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, address)) {
            return socket.getLocalPort();
        }
    }

    /**
     * Stops the server; what does not obey within {@code deadline} is told to stop immediately, and 2 s later killed.
     *
     * @return as {@link #exit}
     */
    public CompletionStage<Integer> stop(Stop how, Duration deadline) {
        giveUp();
        Executor now = command -> Thread.ofVirtual().start(command);
        now.execute(() -> signal(how.signal));
        after(how == Stop.FAST ? deadline : Duration.ZERO, now, () -> {
            if (how == Stop.FAST) {
                LOG.info(
                        "PostgreSQL did not stop in time, stopping it immediately: pid={} deadline={}",
                        pid(),
                        deadline);
                signal(Stop.IMMEDIATE.signal);
            }
            after(QUIT_DEADLINE, now, process::destroyForcibly);
        });
        return exit();
    }

    private void after(Duration delay, Executor executor, Runnable action) {
        CompletableFuture.delayedExecutor(delay.toMillis(), TimeUnit.MILLISECONDS, executor)
                .execute(() -> {
                    if (process.isAlive()) {
                        action.run();
                    }
                });
    }

    /** Kills the postmaster; its children end by themselves, or by {@link #removeRemains}. */
    public void kill() {
        process.destroyForcibly();
    }

    private void signal(String signal) {
        if (process.isAlive()) {
            Signals.send(signal, pid());
        }
    }

    /** Tells a server to read its configuration again. Does not block for long. */
    public void reload() {
        signal("HUP");
    }

    /**
     * Tells a server in standby mode to replay what it has in pg_wal and then to begin a TLI of its own. To be called once
     * its startup process runs: the postmaster removes an earlier request. Does not block for longer than a file takes.
     *
     * @throws IOException if the request could not be written
     */
    public void promote() throws IOException {
        // Whoever makes it, PostgreSQL may remove it: the directory is PostgreSQL's. It may do so before our signal, as
        // its
        // own processes signal the postmaster, too.
        Files.createFile(launch.dataDirectory().resolve("promote"));
        signal("USR1");
    }

    /**
     * Removes what a server that did not end in order leaves behind: processes that still run in its data directory, and
     * its shared memory segment. Blocks, up to 5 s. Files stay.
     *
     * @param dataDirectory nobody else's: every {@code postgres} process that has it as its working directory is killed
     */
    public static void removeRemains(Path dataDirectory) throws IOException {
        List<ProcessHandle> killed = new ArrayList<>();
        for (ProcessHandle handle : running(dataDirectory)) {
            LOG.info("killing a PostgreSQL process that was left over: pid={} data={}", handle.pid(), dataDirectory);
            handle.destroyForcibly();
            killed.add(handle);
        }
        for (ProcessHandle handle : killed) {
            try {
                handle.onExit().get(5, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IOException("interrupted while left over processes ended", e);
            } catch (ExecutionException | java.util.concurrent.TimeoutException e) {
                throw new IOException("a left over PostgreSQL process does not end: pid=" + handle.pid(), e);
            }
        }
        removeSharedMemory(dataDirectory);
    }

    /** The postmaster of this data directory, its children, and orphans of one that is gone. */
    private static Set<ProcessHandle> running(Path dataDirectory) throws IOException {
        Path directory = Files.exists(dataDirectory) ? dataDirectory.toRealPath() : dataDirectory.toAbsolutePath();
        Set<ProcessHandle> found = new LinkedHashSet<>();
        try (Stream<ProcessHandle> all = ProcessHandle.allProcesses()) {
            all.filter(handle -> serves(handle.pid(), directory)).forEach(handle -> {
                // Each look for descendants goes through the whole process table; whose ancestor was found has been
                // found with it.
                if (found.add(handle)) {
                    try (Stream<ProcessHandle> children = handle.descendants()) {
                        children.forEach(found::add);
                    }
                }
            });
        }
        return found;
    }

    /**
     * By working directory, or by command line, which everybody may read. Where both are known the former counts: the directory
     * of a held server is renamed.
     */
    private static boolean serves(long pid, Path directory) {
        Path proc = Path.of("/proc", Long.toString(pid));
        try {
            List<String> command =
                    List.of(Files.readString(proc.resolve("cmdline")).split("\0", -1));
            if (command.getFirst().isEmpty()) {
                return false; // a kernel thread, or a zombie
            }
            boolean postmaster = command.getFirst().endsWith("/postgres");
            if (!postmaster && !command.getFirst().startsWith("postgres:")) {
                return false;
            }
            try {
                return Files.readSymbolicLink(proc.resolve("cwd")).equals(directory);
            } catch (AccessDeniedException e) {
                int option = command.indexOf("-D");
                return postmaster
                        && option > 0
                        && option + 1 < command.size()
                        && command.get(option + 1).equals(directory.toString());
            }
        } catch (IOException | SecurityException e) {
            return false; // gone meanwhile, or another user's
        }
    }

    /** Line 7 of postmaster.pid: key and id of the segment. The file is removed at an orderly end. */
    private static void removeSharedMemory(Path dataDirectory) throws IOException {
        Path pidFile = dataDirectory.resolve("postmaster.pid");
        if (!Files.exists(pidFile)) {
            return;
        }
        List<String> lines = Files.readAllLines(pidFile, StandardCharsets.UTF_8);
        Optional<Path> ipcrm = Programs.find("ipcrm");
        if (lines.size() < 7 || ipcrm.isEmpty()) {
            return;
        }
        String[] words = lines.get(6).strip().split("\\s+", -1);
        if (words.length == 2 && words[1].matches("[0-9]+")) {
            try {
                Programs.run(List.of(ipcrm.get().toString(), "-m", words[1]), environment(), "", HELPER_DEADLINE);
            } catch (IOException e) {
                LOG.debug("shared memory segment is gone already: id={}", words[1], e);
            }
        }
    }

    private void readLog() {
        try (InputStream in = new BufferedInputStream(process.getErrorStream())) {
            ByteArrayOutputStream line = new ByteArrayOutputStream();
            for (int b = in.read(); b >= 0; b = in.read()) {
                if (b == '\n') {
                    onLine(line.toString(StandardCharsets.UTF_8));
                    line.reset();
                } else if (line.size() < LINE_LIMIT) {
                    line.write(b);
                }
            }
        } catch (IOException e) {
            LOG.debug("log of PostgreSQL ended: pid={}", pid(), e);
        } finally {
            drained.complete(null);
        }
    }

    private void onLine(String line) {
        synchronized (lastLines) {
            if (lastLines.size() == KEPT_LINES) {
                lastLines.removeFirst();
            }
            lastLines.addLast(line);
        }
        if (!ready.isDone() && line.endsWith(READY)) {
            ready.complete(null);
        } else if (!held.isDone() && line.endsWith(HELD)) {
            held.complete(null);
        }
        try {
            log.accept(line);
        } catch (RuntimeException e) {
            LOG.warn("log sink failed: pid={}", pid(), e);
        }
    }

    /** Starts the shell that stands in for the parent-death signal: when we are gone, its input ends. */
    private void watch() throws IOException {
        String script = "trap '' INT HUP TERM; if read -r word; then exit 0; fi; kill -QUIT \"$0\"";
        List<String> command = new ArrayList<>();
        Programs.find("setsid").ifPresent(program -> command.add(program.toString()));
        command.addAll(List.of("/bin/sh", "-c", script, Long.toString(pid())));
        ProcessBuilder builder = new ProcessBuilder(command)
                .directory(Path.of("/").toFile())
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(ProcessBuilder.Redirect.DISCARD);
        builder.environment().clear();
        Process watchdog = builder.start();
        process.onExit().thenRun(() -> {
            // A word before the end of input: the server is gone, its pid may be somebody else's soon.
            try (OutputStream out = watchdog.getOutputStream()) {
                out.write("ended\n".getBytes(StandardCharsets.US_ASCII));
            } catch (IOException e) {
                LOG.debug("watchdog is gone already: pid={}", watchdog.pid(), e);
            }
        });
    }

    /** Whether {@code setpriv} can set the parent-death signal here; looked up once. */
    private static final class ParentDeath {
        static final boolean SUPPORTED = lookUp();

        private static boolean lookUp() {
            Optional<Path> setpriv = Programs.find("setpriv");
            if (setpriv.isEmpty()) {
                return false;
            }
            try {
                return Programs.run(List.of(setpriv.get().toString(), "--help"), environment(), "", HELPER_DEADLINE)
                        .contains("--pdeathsig");
            } catch (IOException e) {
                LOG.debug("setpriv could not be asked for its options", e);
                return false;
            }
        }
    }
}
