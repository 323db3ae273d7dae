package io.spg99.compute.postgres;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** Short-lived helper programs. */
public final class Programs {

    private static final List<Path> DIRECTORIES = List.of(
            Path.of("/usr/bin"), Path.of("/bin"), Path.of("/usr/sbin"), Path.of("/sbin"), Path.of("/usr/local/bin"));

    private Programs() {}

    public static Optional<Path> find(String name) {
        return DIRECTORIES.stream()
                .map(d -> d.resolve(name))
                .filter(Files::isExecutable)
                .findFirst();
    }

    /**
     * Runs a program to its end and returns its output, standard error included.
     *
     * @throws IOException if it does not end in time, or with another status than 0; the message ends with its output
     */
    public static String run(List<String> command, Map<String, String> environment, String input, Duration deadline)
            throws IOException {
        Path output = Files.createTempFile("spg99-run-", ".out");
        try {
            ProcessBuilder builder = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(output.toFile())
                    .directory(Path.of("/").toFile());
            builder.environment().clear();
            builder.environment().putAll(environment);
            Process process = builder.start();
            try {
                try (OutputStream stdin = process.getOutputStream()) {
                    stdin.write(input.getBytes(StandardCharsets.UTF_8));
                }
                if (!process.waitFor(deadline.toMillis(), TimeUnit.MILLISECONDS)) {
                    throw new IOException("program did not end in time: program=" + command + " deadline=" + deadline);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IOException("interrupted while a program ran: program=" + command, e);
            } finally {
                process.destroyForcibly();
            }
            String text = Files.readString(output);
            if (process.exitValue() != 0) {
                throw new IOException(
                        "program failed: program=" + command + " status=" + process.exitValue() + " output=" + text);
            }
            return text;
        } finally {
            Files.deleteIfExists(output);
        }
    }
}
