package io.spg99.storage.replication;

import io.spg99.storage.tls.TlsIdentity;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/**
 * Whom to connect to, and as whom.
 *
 * @param user            role at a writer, timeline id at a Safekeeper
 * @param applicationName how the server sees us in {@code pg_stat_replication}
 * @param connectTimeout  limit of the TCP connect
 * @param silence         the connection counts as broken after this time without a byte; whole seconds
 * @param socket          the server's Unix socket; used instead, without TLS, where it can be reached
 */
public record ReplicationTarget(
        String host,
        int port,
        String user,
        String applicationName,
        TlsIdentity identity,
        Duration connectTimeout,
        Duration silence,
        Optional<Path> socket) {

    /** One that is reached by TCP only. */
    public ReplicationTarget(
            String host,
            int port,
            String user,
            String applicationName,
            TlsIdentity identity,
            Duration connectTimeout,
            Duration silence) {
        this(host, port, user, applicationName, identity, connectTimeout, silence, Optional.empty());
    }

    /** The same one, reached by TCP. */
    public ReplicationTarget byTcp() {
        return new ReplicationTarget(host, port, user, applicationName, identity, connectTimeout, silence);
    }
}
