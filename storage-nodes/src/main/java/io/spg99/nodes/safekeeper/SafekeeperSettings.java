package io.spg99.nodes.safekeeper;

import io.spg99.storage.replication.PgReplicationConnection;
import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.tls.TlsIdentity;
import java.nio.file.Path;

/**
 * What makes a Safekeeper.
 *
 * @param directory  its own, for timelines and spare segments; created if missing
 * @param bindHost   address its WAL server listens on
 * @param port       port of the WAL server; 0 takes a free one
 * @param publicHost host at which others reach the WAL server
 * @param identity   certificate with common name {@link TlsIdentity#SAFEKEEPER}
 * @param connector  how it reaches writers and other Safekeepers
 * @param maxWal     bytes of a timeline's WAL that no snapshot makes superfluous, at which it takes no more from the writer. It
 *                   may become more by what the writer puts between two checkpoints, and by what generations write when they start
 */
public record SafekeeperSettings(
        SafekeeperId id,
        Path directory,
        String bindHost,
        int port,
        String publicHost,
        TlsIdentity identity,
        ReplicationConnection.Connector connector,
        long maxWal) {

    /** Where {@code maxWal} is in the configuration. */
    public static final String MAX_WAL = "spg99.safekeeper.max-wal";

    /** For a WAL server that is reached at the address it listens on. */
    public SafekeeperSettings(
            SafekeeperId id, Path directory, String host, int port, TlsIdentity identity, long maxWal) {
        this(id, directory, host, port, host, identity, PgReplicationConnection::open, maxWal);
    }
}
