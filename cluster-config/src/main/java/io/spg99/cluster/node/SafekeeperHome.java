package io.spg99.cluster.node;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.spg99.cluster.files.DurableFiles;
import io.spg99.cluster.input.UserError;
import io.spg99.nodes.safekeeper.Safekeeper;
import io.spg99.storage.safekeeper.SafekeeperId;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.stream.Stream;

/**
 * The directory that a user gives a Safekeeper's process: the Safekeeper's own files, which the Safekeeper locks, the
 * process's {@code logs}, and {@code node.json}, which says whose it is. The votes of one Safekeeper must never be given as
 * another's, so a directory is for one id for ever.
 */
public final class SafekeeperHome {

    private static final String MARKER = "node.json";
    private static final Set<String> OURS = Set.of(MARKER, "lock", "spare", "timelines", "logs", Safekeeper.SOCKET);
    private static final ObjectMapper JSON = new ObjectMapper();

    private SafekeeperHome() {}

    /**
     * Makes the directory if it is not there.
     *
     * @return its absolute path
     * @throws UserError if it is another's, or cannot be written to
     */
    public static Path open(Path directory, SafekeeperId id) {
        Path root = directory.toAbsolutePath().normalize();
        try {
            refuseForeign(root);
            DurableFiles.createPrivateDirectory(root);
            mark(root, id);
            DurableFiles.createPrivateDirectory(logs(root));
            return root;
        } catch (AccessDeniedException e) {
            throw new UserError("cannot write to %s: give this user access, or choose another directory with --data DIR"
                    .formatted(e.getFile()));
        } catch (IOException e) {
            throw new UserError("cannot use the directory %s (%s): choose another with --data DIR"
                    .formatted(root, e.getMessage() == null ? e : e.getMessage()));
        }
    }

    /** Where the process of the Safekeeper in {@code root} logs. */
    public static Path logs(Path root) {
        return root.resolve("logs");
    }

    private static void refuseForeign(Path root) throws IOException {
        if (!Files.exists(root)) {
            return;
        }
        if (!Files.isDirectory(root)) {
            throw new UserError("%s is not a directory: choose another with --data DIR".formatted(root));
        }
        try (Stream<Path> content = Files.list(root)) {
            if (content.anyMatch(path -> !OURS.contains(String.valueOf(path.getFileName())))) {
                throw new UserError(
                        "%s holds files that are not a Safekeeper's: choose an empty or new directory with --data DIR"
                                .formatted(root));
            }
        }
    }

    private static void mark(Path root, SafekeeperId id) throws IOException {
        Path file = root.resolve(MARKER);
        if (!Files.exists(file)) {
            DurableFiles.writePrivate(
                    file, JSON.writeValueAsBytes(JSON.createObjectNode().put("safekeeper", id.value())));
            return;
        }
        JsonNode json = JSON.readTree(file.toFile());
        String owner = json.path("safekeeper").asText();
        if (!owner.equals(id.value())) {
            throw new UserError(
                    "%s is the directory of Safekeeper %s: choose another for %s with --data DIR, or --safekeeper-id %s"
                            .formatted(root, owner, id, owner));
        }
    }
}
