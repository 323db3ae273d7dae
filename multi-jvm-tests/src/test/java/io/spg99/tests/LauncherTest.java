package io.spg99.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code ./spg99} itself, a copy of it in a clone without sources, on a machine whose JDKs and Maven are shell scripts. */
class LauncherTest {

    /** Where it looks for JDKs by itself: here they are looked for below {@link #machine}. */
    private static final List<String> PLACES =
            List.of("/usr/lib/jvm", "/usr/java", "/opt/java", "/opt/jdk", "/opt/homebrew", "/Library/Java");

    private static final List<String> TOOLS = List.of(
            "cat",
            "chmod",
            "dirname",
            "env",
            "find",
            "flock",
            "grep",
            "head",
            "mkdir",
            "mktemp",
            "readlink",
            "rm",
            "sed",
            "sh",
            "tee");

    @TempDir
    Path machine;

    private final Map<String, String> environment = new HashMap<>();
    private Path launcher;
    private Path path;

    @BeforeEach
    void makeMachine() throws IOException {
        Path clone = Files.createDirectories(machine.resolve("clone"));
        String script = Files.readString(Path.of("..", "spg99"));
        for (String place : PLACES) {
            assertTrue(script.contains(" " + place), place);
            script = script.replace(" " + place, " " + machine + place);
        }
        launcher = program(clone.resolve("spg99"), script);
        Files.createFile(clone.resolve("pom.xml"));
        path = Files.createDirectories(machine.resolve("bin"));
        for (String tool : TOOLS) {
            for (String place : List.of("/usr/bin", "/bin")) {
                Path program = Path.of(place, tool);
                if (Files.exists(program)) {
                    program(path.resolve(tool), "#!/bin/sh\nexec %s \"$@\"\n".formatted(program));
                }
            }
        }
        environment.put("PATH", path.toString());
        environment.put("HOME", machine.resolve("home").toString());
        environment.put("TMPDIR", machine.toString());
        maven("mkdir -p multi-jvm-tests/target/dist/lib && : >multi-jvm-tests/target/dist/lib/a.jar");
    }

    private static Path program(Path file, String text) throws IOException {
        Files.createDirectories(Objects.requireNonNull(file.getParent()));
        Files.writeString(file, text);
        return Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    private void maven(String work) throws IOException {
        program(path.resolve("mvn"), "#!/bin/sh\necho \"$@\" >>" + log("mvn") + "\n" + work + "\n");
    }

    /** Of what was called. */
    private Path log(String program) {
        return machine.resolve(program + ".log");
    }

    private Path jre(String home, int version) throws IOException {
        Path directory = machine.resolve(home);
        program(
                directory.resolve("bin/java"),
                "#!/bin/sh\necho \"%d $*\" >>%s\ncase \"$*\" in *--train*) ;; *) echo \"run by %d\"; exit 7 ;; esac\n"
                        .formatted(version, log("java"), version));
        Files.writeString(directory.resolve("release"), "JAVA_VERSION=\"" + version + ".0.1\"\n");
        return directory;
    }

    private Path jdk(String home, int version) throws IOException {
        Path directory = jre(home, version);
        program(directory.resolve("bin/javac"), "#!/bin/sh\n");
        return directory;
    }

    private record Outcome(int exitCode, List<String> output) {}

    private Outcome run(String... arguments) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(launcher.toString()).redirectErrorStream(true);
        builder.command().addAll(List.of(arguments));
        builder.environment().clear();
        builder.environment().putAll(environment);
        Process process = builder.start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertTrue(process.waitFor(30, TimeUnit.SECONDS), output);
        return new Outcome(process.exitValue(), output.lines().toList());
    }

    private void assertRefused(String... hints) throws Exception {
        Outcome outcome = run("dev");
        assertEquals(1, outcome.exitCode(), outcome.toString());
        String last = outcome.output().getLast();
        assertTrue(last.startsWith("spg99: "), outcome.toString());
        for (String hint : hints) {
            assertTrue(last.contains(hint), outcome.toString());
        }
    }

    private void assertRunBy(int version, Outcome outcome) {
        assertEquals(7, outcome.exitCode(), outcome.toString());
        assertEquals("run by " + version, outcome.output().getLast(), outcome.toString());
    }

    @Test
    void givenJava17AsTheDefault_whenANewerJdkLiesBesideIt_thenThatOneRunsAndOneBuildIsEnough() throws Exception {
        environment.put("JAVA_HOME", jdk("usr/lib/jvm/java-17", 17).toString());
        Files.createSymbolicLink(path.resolve("java"), machine.resolve("usr/lib/jvm/java-17/bin/java"));
        Files.createSymbolicLink(path.resolve("javac"), machine.resolve("usr/lib/jvm/java-17/bin/javac"));
        jdk("usr/lib/jvm/java-21", 21);
        jdk("home/.jdks/jdk-25", 25);
        jre("opt/jdk-26", 26);

        assertRunBy(25, run("dev", "--data", "two words"));
        assertRunBy(25, run("dev"));

        List<String> calls = Files.readAllLines(log("java"));
        assertEquals(3, calls.size(), calls.toString());
        assertTrue(calls.get(0).contains(" --train "), calls.toString());
        assertTrue(calls.get(1).endsWith(" io.spg99.cluster.cli.Main dev --data two words"), calls.toString());
        assertEquals(1, Files.readAllLines(log("mvn")).size());
    }

    @Test
    void givenAJdkThatIsNamed_whenItIsNewEnough_thenItRunsWhateverLiesBeside() throws Exception {
        jdk("usr/lib/jvm/java-25", 25);
        environment.put("JAVA_HOME", jdk("somewhere/java-22", 22).toString());
        assertRunBy(22, run("dev"));
        environment.put("SPG99_JAVA_HOME", jdk("somewhere/java-21", 21).toString());
        assertRunBy(21, run("dev"));
        environment.put("SPG99_JAVA_HOME", jdk("somewhere/java-18", 18).toString());
        assertRunBy(22, run("dev"));
    }

    /** The names of its logs are not those of JDK 25, and a wrong name ends a JVM. */
    @Test
    void givenJdk21_whenItHasLearnedFromAFirstStart_thenItIsGivenOptionsThatItKnows() throws Exception {
        jdk("usr/lib/jvm/java-21", 21);
        assertRunBy(21, run("dev"));
        String options = Files.readString(machine.resolve("clone/multi-jvm-tests/target/dist/jvm.options"));
        assertTrue(options.contains("-XX:SharedArchiveFile="), options);
        assertFalse(options.contains("aot") || options.contains("AOT"), options);
    }

    @Test
    void givenNoJdkThatIsNewEnough_whenStarted_thenOneLineSaysWhatToInstall() throws Exception {
        assertRefused("JDK 21 or newer", "found none", "SPG99_JAVA_HOME");
        jdk("usr/lib/jvm/java-17", 17);
        jre("usr/lib/jvm/jre-25", 25);
        assertRefused("JDK 21 or newer", "found 17.");
        assertEquals(1, run("dev").output().size());
    }

    @Test
    void givenNoMaven_whenThereIsSomethingToBuild_thenOneLineSaysWhatToInstall() throws Exception {
        jdk("usr/lib/jvm/java-25", 25);
        Files.delete(path.resolve("mvn"));
        assertRefused("needs Maven");
        assertEquals(1, run("dev").output().size());
    }

    @Test
    void givenABuildThatFails_whenStarted_thenItsErrorsAreShownAndTheNextStartBuildsAgain() throws Exception {
        jdk("usr/lib/jvm/java-25", 25);
        maven("echo '[INFO] Building all 1/7'; echo '[ERROR] no such symbol'; exit 1");
        Outcome outcome = run("dev");
        assertTrue(outcome.output().contains("[ERROR] no such symbol"), outcome.toString());
        assertRefused("the build failed", "build.log");
        assertEquals(2, Files.readAllLines(log("mvn")).size());
    }
}
