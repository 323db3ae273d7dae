package io.spg99.tests.process;

import io.spg99.storage.file.FileTree;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** A user without rights, for a program that root starts; has a class path it can read, wherever this JVM's is. */
public final class OrdinaryUser {

    /** That of {@code nobody}. */
    private static final int ID = 65534;

    private final String classPath;

    private OrdinaryUser(String classPath) {
        this.classPath = classPath;
    }

    /**
     * @param directory gets the class path; this user must be able to reach it
     * @return empty if we cannot become this user, or it cannot run this JVM's Java
     */
    public static Optional<OrdinaryUser> in(Path directory) throws IOException, InterruptedException {
        if (!isRoot() || !runsJava()) {
            return Optional.empty();
        }
        Path copies = Files.createDirectory(directory.resolve("classes"));
        List<String> entries = new ArrayList<>();
        for (String entry : System.getProperty("java.class.path").split(File.pathSeparator, -1)) {
            Path original = Path.of(entry);
            Path copy = copies.resolve(entries.size() + "-" + original.getFileName());
            if (Files.exists(original)) {
                FileTree.link(original, copy);
            }
            entries.add(copy.toString());
        }
        return Optional.of(new OrdinaryUser(String.join(File.pathSeparator, entries)));
    }

    public static boolean isRoot() throws IOException {
        return Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0);
    }

    /** Where there is no setpriv, too, it does not. */
    private static boolean runsJava() {
        List<String> command = new ArrayList<>(credentials());
        command.addAll(List.of(JavaProcess.java(), "-version"));
        return Program.succeeds(command.toArray(String[]::new));
    }

    private static List<String> credentials() {
        return List.of("setpriv", "--reuid=" + ID, "--regid=" + ID, "--clear-groups", "--");
    }

    /** Makes a file or directory this user's. */
    public void own(Path path) throws IOException {
        Files.setAttribute(path, "unix:uid", ID, LinkOption.NOFOLLOW_LINKS);
        Files.setAttribute(path, "unix:gid", ID, LinkOption.NOFOLLOW_LINKS);
    }

    public boolean runs(long pid) throws IOException {
        return Files.getAttribute(Path.of("/proc/" + pid), "unix:uid").equals(ID);
    }

    List<String> become() {
        return credentials();
    }

    String classPath() {
        return classPath;
    }
}
