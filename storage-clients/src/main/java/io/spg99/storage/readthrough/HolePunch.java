package io.spg99.storage.readthrough;

import io.spg99.storage.postgres.NativeLibrary;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Optional;

/** Gives disk space of parts of files back, which Java cannot: a small program of ours does. For one thread at a time. */
final class HolePunch implements AutoCloseable {

    private final Process process;
    private final BufferedReader answers;

    private HolePunch(Process process) {
        this.process = process;
        this.answers = process.inputReader(StandardCharsets.UTF_8);
    }

    /**
     * @param directory that paths are relative to
     * @param libraries where the program is put
     * @return empty if it was not built, for want of a C compiler
     */
    static Optional<HolePunch> start(Path directory, Path libraries) throws IOException {
        Optional<Path> program = NativeLibrary.install("spg99_punch", libraries);
        if (program.isEmpty()) {
            return Optional.empty();
        }
        ProcessBuilder builder = new ProcessBuilder(program.get().toString(), directory.toString())
                .directory(Path.of("/").toFile())
                .redirectError(ProcessBuilder.Redirect.DISCARD);
        builder.environment().clear();
        return Optional.of(new HolePunch(builder.start()));
    }

    /** @throws IOException if the file system cannot do it */
    void punch(String path, long offset, long length) throws IOException {
        // The stream lives as long as the program.
        @SuppressWarnings("resource")
        OutputStream requests = process.getOutputStream();
        requests.write((path + " " + offset + " " + length + "\n").getBytes(StandardCharsets.US_ASCII));
        requests.flush();
        String answer = answers.readLine();
        if (answer == null || !answer.equals("ok")) {
            throw new IOException("disk space cannot be given back: path=" + path + " answer=" + answer);
        }
    }

    /** The program ends when its input does. */
    @Override
    public void close() throws IOException {
        process.getOutputStream().close();
    }
}
