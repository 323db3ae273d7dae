package io.spg99.storage.readthrough;

import io.spg99.storage.postgres.Programs;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Assumptions;

/** A process that has the library preloaded and does to files what a test tells it: src/test/c/file_calls.c. */
final class FileCalls implements AutoCloseable {

    private final Process process;
    private final BufferedReader answers;

    private FileCalls(Process process) {
        this.process = process;
        this.answers = process.inputReader(StandardCharsets.UTF_8);
    }

    /** Compiles the program; skips the test where there is no C compiler, as the library was not built then either. */
    static Path compile(Path directory) throws IOException {
        Optional<Path> compiler = Programs.find("cc");
        Assumptions.assumeTrue(compiler.isPresent(), "no C compiler");
        Path program = directory.resolve("file_calls");
        Programs.run(
                List.of(
                        compiler.orElseThrow().toString(),
                        "-std=c11",
                        "-Wall",
                        "-Wextra",
                        "-Werror",
                        "-o",
                        program.toString(),
                        Path.of("src/test/c/file_calls.c").toAbsolutePath().toString()),
                Map.of("PATH", "/usr/bin:/bin"),
                "",
                Duration.ofSeconds(30));
        return program;
    }

    static FileCalls start(Path program, Path pgdata, Map<String, String> environment) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(program.toString())
                .directory(pgdata.toFile())
                .redirectError(ProcessBuilder.Redirect.INHERIT);
        builder.environment().clear();
        builder.environment().putAll(environment);
        return new FileCalls(builder.start());
    }

    /** Does one thing and returns the answer. */
    String call(String command) throws IOException {
        begin(command);
        return end();
    }

    // The stream lives as long as the process.
    @SuppressWarnings("resource")
    void begin(String command) throws IOException {
        OutputStream commands = process.getOutputStream();
        commands.write((command + "\n").getBytes(StandardCharsets.US_ASCII));
        commands.flush();
    }

    String end() throws IOException {
        String answer = answers.readLine();
        if (answer == null) {
            throw new IOException("the process has ended");
        }
        return answer;
    }

    boolean hasAnswered() throws IOException {
        return answers.ready();
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }
}
