package io.spg99.tests.process;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** {@code spg99 node --roles generation} as a child process on this process's class path. */
public final class GenerationNodeProcess implements AutoCloseable {

    private static final Duration START_LIMIT = Duration.ofSeconds(60);
    private static final Duration STOP_LIMIT = Duration.ofSeconds(20);

    private final Process process;

    private GenerationNodeProcess(Process process) {
        this.process = process;
    }

    /**
     * Starts a node for the platform in {@code data}, and waits until it has joined.
     *
     * @param own     the node's directory, which PostgreSQL's user can reach
     * @param wrapper program, with its arguments, that becomes the node
     */
    public static GenerationNodeProcess start(Path data, int clusterPort, Path own, List<String> wrapper)
            throws IOException {
        Process process = JavaProcess.start(
                wrapper,
                Map.of(),
                List.of("-Xmx256m", "-XX:TieredStopAtLevel=1"),
                List.of(
                        "node",
                        "--roles",
                        "generation",
                        "--data",
                        own.toString(),
                        "--pki",
                        data.resolve("pki").toString(),
                        "--seeds",
                        "127.0.0.1:" + clusterPort));
        ProcessOutput.of(process).await("is ready", START_LIMIT);
        return new GenerationNodeProcess(process);
    }

    public long pid() {
        return process.pid();
    }

    /** SIGKILL. */
    public void kill() {
        process.destroyForcibly();
        await();
    }

    /** SIGTERM, and waits for the orderly end. */
    public void stop() {
        process.destroy();
        await();
    }

    private void await() {
        try {
            if (!process.waitFor(STOP_LIMIT.toSeconds(), TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new IllegalStateException("the node did not end: limit=" + STOP_LIMIT);
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
