package io.spg99.storage.postgres;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Short-lived helper programs. */
public final class Programs {

    private static final List<Path> DIRECTORIES = List.of(
            Path.of("/usr/bin"), Path.of("/bin"), Path.of("/usr/sbin"), Path.of("/sbin"), Path.of("/usr/local/bin"));

    private static final Logger LOG = LoggerFactory.getLogger(Programs.class);

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
        ProcessBuilder builder = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .directory(Path.of("/").toFile());
        builder.environment().clear();
        builder.environment().putAll(environment);
        Process process = builder.start();
        try {
            FutureTask<byte[]> output =
                    new FutureTask<>(() -> process.getInputStream().readAllBytes());
            Thread.ofVirtual().start(output);
            try (OutputStream stdin = process.getOutputStream()) {
                stdin.write(input.getBytes(StandardCharsets.UTF_8));
            } catch (IOException e) {
                LOG.debug("program ended before it had read its input, its output says why: program={}", command, e);
            }
            byte[] text = output.get(deadline.toMillis(), TimeUnit.MILLISECONDS);
            int status = process.waitFor();
            String words = new String(text, StandardCharsets.UTF_8);
            if (status != 0) {
                throw new IOException("program failed: program=" + command + " status=" + status + " output=" + words);
            }
            return words;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while a program ran: program=" + command, e);
        } catch (TimeoutException e) {
            throw new IOException("program did not end in time: program=" + command + " deadline=" + deadline, e);
        } catch (ExecutionException e) {
            throw new IOException("output could not be read: program=" + command, e.getCause());
        } finally {
            process.destroyForcibly();
        }
    }
}
