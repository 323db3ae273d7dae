package io.spg99.compute.generation;

import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.tls.TlsIdentity;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * The node's identity where PostgreSQL can read it: one copy for all generations of a node, which belongs to PostgreSQL's
 * user.
 */
record TlsFiles(Path certificate, Path key, Path ca) {

    /** Copies to {@code directory} what is not there already. */
    static TlsFiles copy(TlsIdentity identity, Path directory, OsUser user) throws IOException {
        TlsFiles files = new TlsFiles(
                directory.resolve("server.crt"), directory.resolve("server.key"), directory.resolve("ca.crt"));
        copy(identity.certificate(), files.certificate, user);
        copy(identity.key(), files.key, user);
        copy(identity.ca(), files.ca, user);
        return files;
    }

    private static void copy(Path from, Path to, OsUser user) throws IOException {
        byte[] content = Files.readAllBytes(from);
        if (!Files.exists(to) || !Arrays.equals(content, Files.readAllBytes(to))) {
            user.writePrivate(to, content);
        }
    }
}
