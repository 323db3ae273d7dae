package io.spg99.tests.process;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** SPG99's command line in a JVM of its own, on this JVM's class path and with this JVM's options. */
public final class JavaProcess {

    private JavaProcess() {}

    public static Process start(List<String> arguments) throws IOException {
        return start(List.of("-Xmx1g"), arguments);
    }

    /** @param options of this JVM, beside those that it takes over; the last one counts */
    public static Process start(List<String> options, List<String> arguments) throws IOException {
        return start(List.of(), Map.of(), options, arguments);
    }

    /**
     * @param wrapper     program, with its arguments, that becomes the JVM
     * @param environment beside this JVM's
     */
    static Process start(
            List<String> wrapper, Map<String, String> environment, List<String> options, List<String> arguments)
            throws IOException {
        ProcessBuilder builder = new ProcessBuilder(command(wrapper, ClassArchive.jars(), options, arguments));
        builder.environment().putAll(environment);
        return builder.redirectErrorStream(true).start();
    }

    /** @param classPath instead of this JVM's */
    static Process start(List<String> wrapper, String classPath, List<String> options, List<String> arguments)
            throws IOException {
        return new ProcessBuilder(command(wrapper, classPath, options, arguments))
                .redirectErrorStream(true)
                .start();
    }

    private static List<String> command(
            List<String> wrapper, String classPath, List<String> options, List<String> arguments) throws IOException {
        List<String> command = new ArrayList<>(wrapper);
        command.add(java());
        command.addAll(ownOptions());
        command.addAll(ClassArchive.options(classPath));
        String prepared = System.getProperty("spg99.prepared");
        if (prepared != null) {
            command.add("-Dspg99.prepared=" + prepared);
        }
        command.addAll(options);
        command.addAll(List.of("-cp", classPath, "io.spg99.cluster.cli.Main"));
        command.addAll(arguments);
        return command;
    }

    /** Those of this JVM that a JVM started from here is to have as well. */
    static List<String> ownOptions() {
        return ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(option -> option.startsWith("-X") || option.startsWith("--"))
                .toList();
    }

    static String java() {
        return Path.of(System.getProperty("java.home"), "bin", "java").toString();
    }
}
