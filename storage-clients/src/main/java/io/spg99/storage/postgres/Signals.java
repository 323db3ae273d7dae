package io.spg99.storage.postgres;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * Sends signals that Java cannot send. One shell, started at the first signal, sends them all: a new process for each would
 * cost some milliseconds. It ends with this JVM, when its input does, and is replaced if it has ended.
 */
final class Signals {

    /** Each line of input is a signal and a process id; a process that is gone is no error. */
    private static final String SCRIPT = "trap '' INT HUP TERM; while read -r signal pid; do kill -$signal $pid; done";

    private static @Nullable Process shell;

    private Signals() {}

    /** Sends {@code INT}, {@code QUIT}, {@code USR1} or the like. */
    static synchronized void send(String signal, long pid) {
        try {
            Process running = shell;
            if (running == null || !running.isAlive()) {
                running = start();
                shell = running;
            }
            // The stream lives as long as the shell.
            @SuppressWarnings("resource")
            OutputStream input = running.getOutputStream();
            input.write((signal + " " + pid + "\n").getBytes(StandardCharsets.US_ASCII));
            input.flush();
        } catch (IOException e) {
            throw new UncheckedIOException("signals cannot be sent: signal=" + signal + " pid=" + pid, e);
        }
    }

    private static Process start() throws IOException {
        ProcessBuilder builder = new ProcessBuilder("/bin/sh", "-c", SCRIPT)
                .directory(Path.of("/").toFile())
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(ProcessBuilder.Redirect.DISCARD);
        builder.environment().clear();
        return builder.start();
    }
}
