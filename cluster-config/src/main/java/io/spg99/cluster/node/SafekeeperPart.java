package io.spg99.cluster.node;

import io.spg99.cluster.pki.PlatformPki;
import io.spg99.nodes.safekeeper.Safekeeper;
import io.spg99.nodes.safekeeper.SafekeeperSettings;
import io.spg99.storage.replication.PgReplicationConnection;
import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.tls.TlsIdentity;
import java.io.IOException;
import java.time.Clock;
import org.apache.pekko.actor.typed.Behavior;

/** A Safekeeper in a process of its own. No PostgreSQL. */
record SafekeeperPart(SafekeeperNodeSettings settings, TlsIdentity identity) implements PartNode.Part {

    static SafekeeperPart open(SafekeeperNodeSettings settings) throws IOException {
        return new SafekeeperPart(
                settings, PlatformPki.open(settings.pki(), Clock.systemUTC()).internal(TlsIdentity.SAFEKEEPER));
    }

    @Override
    public String name() {
        return "Safekeeper " + settings.id();
    }

    @Override
    public Behavior<?> begin() throws IOException {
        String host = settings.member().host();
        return Safekeeper.create(new SafekeeperSettings(
                settings.id(),
                settings.directory(),
                host,
                settings.walPort(),
                host,
                identity,
                connector(),
                Membership.common().getBytes(SafekeeperSettings.MAX_WAL)));
    }

    private ReplicationConnection.Connector connector() {
        return settings.tcpOnly()
                ? target -> PgReplicationConnection.open(target.byTcp())
                : PgReplicationConnection::open;
    }

    @Override
    public void close() {}
}
