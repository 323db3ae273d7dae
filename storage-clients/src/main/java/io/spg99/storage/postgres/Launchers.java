package io.spg99.storage.postgres;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Processes that are about to become servers: a shell that has a session, the user and the parent-death signal of a server
 * already, and waits for the command that takes its place. One is kept ready, because to get there takes four programs and
 * as many milliseconds. It ends with this JVM.
 */
final class Launchers {

    private static final Logger LOG = LoggerFactory.getLogger(Launchers.class);

    /**
     * Reads a directory, variables of the environment, a dash and a command, a line for each word, up to an empty one. Without
     * a command it was not needed.
     */
    private static final String SCRIPT =
            "set --; while IFS= read -r word && [ -n \"$word\" ]; do set -- \"$@\" \"$word\";"
                    + " done; [ $# -gt 1 ] || exit 0; cd \"$1\" || exit 1; shift;"
                    + " while [ \"$1\" != - ]; do export \"$1\"; shift; done; shift; exec \"$@\"";

    /** A new one is made when the start that used the last one is likely over. */
    private static final long REFILL_DELAY_MILLIS = 1000;

    /** The one thread whose end, that of the JVM, is the end of all servers. */
    private static final ScheduledExecutorService SPAWNER = Executors.newSingleThreadScheduledExecutor(
            task -> Thread.ofPlatform().name("postgres-spawner").daemon().unstarted(task));

    private static final Map<Kind, Process> WAITING = new ConcurrentHashMap<>();

    private record Kind(OsUser user, boolean parentDeathSignal) {}

    private Launchers() {}

    /**
     * Starts {@code command} as {@code user}, in a session of its own. Its input is the process's output stream here. Blocks
     * for some milliseconds at most.
     *
     * @param parentDeathSignal whether the kernel is to send it SIGQUIT when this JVM ends
     * @param directory         its working directory
     * @param environment       beside {@link PostgresProcess#environment}
     */
    static Process run(
            OsUser user,
            boolean parentDeathSignal,
            Path directory,
            Map<String, String> environment,
            List<String> command)
            throws IOException {
        List<String> words = new ArrayList<>();
        words.add(directory.toString());
        environment.forEach((name, value) -> words.add(name + "=" + value));
        words.add("-");
        words.addAll(command);
        StringBuilder input = new StringBuilder();
        for (String word : words) {
            if (word.isEmpty() || word.indexOf('\n') >= 0) {
                throw new IOException("a path or an option is empty or has a line feed: command=" + words);
            }
            input.append(word).append('\n');
        }
        input.append('\n');
        Kind kind = new Kind(user, parentDeathSignal);
        Process process = WAITING.remove(kind);
        if (process == null || !process.isAlive()) {
            process = onSpawner(kind);
        }
        // The stream is the caller's, as the process is.
        @SuppressWarnings("resource")
        OutputStream out = process.getOutputStream();
        out.write(input.toString().getBytes(StandardCharsets.UTF_8));
        out.flush();
        SPAWNER.schedule(() -> refill(kind), REFILL_DELAY_MILLIS, TimeUnit.MILLISECONDS);
        return process;
    }

    private static Process onSpawner(Kind kind) throws IOException {
        CompletableFuture<Process> spawned = CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return spawn(kind);
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                },
                SPAWNER);
        try {
            return spawned.get();
        } catch (InterruptedException e) {
            spawned.thenAccept(Process::destroy);
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while PostgreSQL was started", e);
        } catch (ExecutionException e) {
            throw new IOException("PostgreSQL could not be started: " + e.getCause(), e.getCause());
        }
    }

    private static void refill(Kind kind) {
        Process waiting = WAITING.get(kind);
        if (waiting == null || !waiting.isAlive()) {
            try {
                WAITING.put(kind, spawn(kind));
            } catch (IOException e) {
                LOG.warn("no process could be made ready, the next start will be slower", e);
            }
        }
    }

    private static Process spawn(Kind kind) throws IOException {
        List<String> command = new ArrayList<>();
        Programs.find("setsid").ifPresent(program -> command.add(program.toString()));
        List<String> shell = List.of("/bin/sh", "-c", SCRIPT);
        if (kind.parentDeathSignal()) {
            command.add(Programs.find("setpriv").orElseThrow().toString());
            // setpriv sets the signal after the credentials, a change of which would clear it.
            command.addAll(kind.user().credentials());
            command.addAll(List.of("--pdeathsig", "QUIT", "--"));
            command.addAll(shell);
        } else {
            command.addAll(kind.user().command(shell));
        }
        ProcessBuilder builder = new ProcessBuilder(command)
                .directory(Path.of("/").toFile())
                .redirectOutput(ProcessBuilder.Redirect.DISCARD);
        builder.environment().clear();
        builder.environment().putAll(PostgresProcess.environment());
        return builder.start();
    }
}
