package io.spg99.tests.process;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** SPG99's command line in a JVM of its own, on this JVM's class path. */
public final class JavaProcess {

    private JavaProcess() {}

    public static Process start(List<String> arguments) throws IOException {
        return start(List.of("-Xmx1g"), arguments);
    }

    /** @param options of this JVM, beside those that every one has */
    public static Process start(List<String> options, List<String> arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC",
                "--enable-native-access=ALL-UNNAMED",
                "-XX:+IgnoreUnrecognizedVMOptions",
                "-cp",
                System.getProperty("java.class.path"),
                "io.spg99.cluster.cli.Main"));
        command.addAll(1, options);
        command.addAll(arguments);
        return new ProcessBuilder(command).redirectErrorStream(true).start();
    }
}
