package io.spg99.tests.process;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** {@code spg99 node --roles safekeeper} as a child process on this process's class path. */
public final class SafekeeperProcess implements AutoCloseable {

    private static final Duration START_LIMIT = Duration.ofSeconds(60);
    private static final Duration STOP_LIMIT = Duration.ofSeconds(12);

    private final Process process;
    private final ProcessOutput output;

    private SafekeeperProcess(Process process) {
        this.process = process;
        this.output = ProcessOutput.of(process);
    }

    /**
     * What is special about a Safekeeper's process.
     *
     * @param wrapper     program, with its arguments, that becomes the Safekeeper
     * @param environment beside this process's
     * @param jvm         options of its JVM
     * @param node        options of {@code spg99 node}
     */
    public record Special(List<String> wrapper, Map<String, String> environment, List<String> jvm, List<String> node) {
        public static final Special NOTHING = new Special(List.of(), Map.of(), List.of(), List.of());
    }

    /** Starts the Safekeeper {@code id} of the platform in {@code data}, without waiting for it to join. */
    public static SafekeeperProcess start(Path data, String id, int clusterPort) throws IOException {
        return start(data, id, clusterPort, Special.NOTHING);
    }

    public static SafekeeperProcess start(Path data, String id, int clusterPort, Special special) throws IOException {
        List<String> options = new ArrayList<>(List.of(
                "--roles",
                "safekeeper",
                "--safekeeper-id",
                id,
                "--data",
                directory(data, id).toString(),
                "--pki",
                data.resolve("pki").toString(),
                "--seeds",
                "127.0.0.1:" + clusterPort));
        options.addAll(special.node());
        return new SafekeeperProcess(launch(special, options));
    }

    /** {@code spg99 node} with any options; its output is on the process's standard output. */
    public static Process launch(String... options) throws IOException {
        return launch(Special.NOTHING, List.of(options));
    }

    private static Process launch(Special special, List<String> options) throws IOException {
        // Several start at once and live for seconds: the second compiler would cost them more than it gives.
        List<String> jvm = new ArrayList<>(List.of("-Xmx192m", "-XX:TieredStopAtLevel=1"));
        jvm.addAll(special.jvm());
        List<String> command = new ArrayList<>(List.of("node"));
        command.addAll(options);
        return JavaProcess.start(special.wrapper(), special.environment(), jvm, command);
    }

    public boolean isAlive() {
        return process.isAlive();
    }

    public long pid() {
        return process.pid();
    }

    public static Path directory(Path data, String id) {
        return data.resolve("safekeepers").resolve(id);
    }

    /** Waits until it says that it is a member of a cluster. */
    public SafekeeperProcess awaitReady() {
        output.await("is ready", START_LIMIT);
        return this;
    }

    /** SIGKILL. */
    public void kill() {
        process.destroyForcibly();
        await();
    }

    /** SIGSTOP: its connections stay, and nothing comes from it any more. */
    public void freeze() throws IOException {
        ProcessSignal.STOP.send(pid());
    }

    /** SIGCONT. */
    public void thaw() throws IOException {
        ProcessSignal.CONT.send(pid());
    }

    /** SIGTERM to all of them at once, and waits for their orderly end. */
    public static void stopAll(Collection<SafekeeperProcess> safekeepers) {
        safekeepers.forEach(safekeeper -> safekeeper.process.destroy());
        safekeepers.forEach(SafekeeperProcess::await);
    }

    private void await() {
        try {
            if (!process.waitFor(STOP_LIMIT.toSeconds(), TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new IllegalStateException("the Safekeeper did not end: limit=" + STOP_LIMIT);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    @Override
    public void close() {
        if (process.isAlive()) {
            kill();
        }
    }
}
