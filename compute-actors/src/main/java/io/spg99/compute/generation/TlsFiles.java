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

    static TlsFiles in(Path directory) {
        return new TlsFiles(
                directory.resolve("server.crt"), directory.resolve("server.key"), directory.resolve("ca.crt"));
    }

    /** Copies what has changed. A running server keeps what it has read. */
    synchronized void update(TlsIdentity identity, OsUser user) throws IOException {
        copy(identity.certificate(), certificate, user);
        copy(identity.key(), key, user);
        copy(identity.ca(), ca, user);
    }

    private static void copy(Path from, Path to, OsUser user) throws IOException {
        byte[] content = Files.readAllBytes(from);
        if (!Files.exists(to) || !Arrays.equals(content, Files.readAllBytes(to))) {
            user.writePrivate(to, content);
        }
    }
}
