package io.spg99.tests.process;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.file.Prepared;
import java.io.File;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The classes that a platform loads, as the JVM likes them best: with them a JVM starts in half the time. Made by the first who asks, with
 * what else is {@linkplain Prepared prepared}, for this very class path.
 */
final class ClassArchive {

    private static final int FIRST_WITH_CACHES = 25;
    private static final int WAKES = 3;
    private static final long LIMIT_SECONDS = 120;

    private ClassArchive() {}

    /** This JVM's class path without directories, which such an archive cannot have: what the tests themselves are made of. */
    static String jars() {
        return entries(System.getProperty("java.class.path"))
                .filter(entry -> !Files.isDirectory(Path.of(entry)))
                .collect(Collectors.joining(File.pathSeparator));
    }

    private static Stream<String> entries(String classPath) {
        return Arrays.stream(classPath.split(File.pathSeparator, -1));
    }

    /** What a JVM starts with to use it; nothing if there is none. */
    static List<String> options(String classPath) throws IOException {
        return of(classPath)
                .map(archive -> List.of("-XX:AOTCache=" + archive, "-Xlog:aot=off", "-Xlog:cds=off"))
                .orElse(List.of());
    }

    /**
     * Empty if this JVM has one of its own, which its children share, or there is no place for one, or it cannot be made: a JVM before
     * version 25 knows none that suits all the options that it is started with.
     */
    private static synchronized Optional<Path> of(String classPath) throws IOException {
        Optional<Path> directory = Prepared.directory("classes");
        boolean inherited = JavaProcess.ownOptions().stream()
                .anyMatch(option -> option.startsWith("-XX:AOTCache=") || option.startsWith("-XX:SharedArchiveFile="));
        if (directory.isEmpty()
                || inherited
                || !classPath.equals(jars())
                || Runtime.version().feature() < FIRST_WITH_CACHES) {
            return Optional.empty();
        }
        Path archive = directory.get().resolve(name(classPath));
        Files.createDirectories(directory.get());
        try (FileChannel lock = FileChannel.open(
                directory.get().resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            lock.lock();
            if (!Files.exists(archive)) {
                make(classPath, archive);
            }
        }
        return Files.size(archive) > 0 ? Optional.of(archive) : Optional.empty();
    }

    /** Names the JVM, its options, and the jars with their times. */
    private static String name(String classPath) throws IOException {
        StringBuilder all = new StringBuilder(Runtime.version().toString());
        all.append(JavaProcess.ownOptions());
        for (String entry : entries(classPath).toList()) {
            Path jar = Path.of(entry);
            all.append(entry).append(Files.exists(jar) ? Files.getLastModifiedTime(jar) : "");
        }
        return "%08x.aot".formatted(all.toString().hashCode());
    }

    /** An empty file if it does not work: that is not tried again. */
    private static void make(String classPath, Path archive) throws IOException {
        Path data = DevProcess.temporaryDirectory();
        Path aside = archive.resolveSibling("new.aot");
        Files.deleteIfExists(aside);
        try {
            List<String> command = new ArrayList<>(List.of(JavaProcess.java()));
            command.addAll(JavaProcess.ownOptions());
            command.add("-Dspg99.prepared=" + System.getProperty("spg99.prepared"));
            command.addAll(List.of("-XX:AOTCacheOutput=" + aside, "-cp", classPath, "io.spg99.cluster.cli.Main"));
            command.addAll(List.of("dev", "--data", data.resolve("data").toString(), "--http-port", "0"));
            command.addAll(List.of("--gateway-port", "0", "--train", String.valueOf(WAKES)));
            Process training = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            boolean done = training.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS) && training.exitValue() == 0;
            training.destroyForcibly();
            if (done && Files.exists(aside)) {
                Files.move(aside, archive, StandardCopyOption.ATOMIC_MOVE);
            } else {
                Files.createFile(archive);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while classes were archived", e);
        } finally {
            FileTree.delete(data);
        }
    }
}
