package io.spg99.cluster.node;

import java.nio.file.Path;
import java.util.List;
import java.util.Set;

/**
 * One node.
 *
 * @param name        shown as {@code worker_id}
 * @param host        address that this node's ports are bound to and others reach it at
 * @param clusterPort of Pekko's remoting; 0 for any
 * @param seeds       {@code host:port} of nodes to join; empty: this node begins a cluster of its own
 * @param data        this node's directory; holds {@code objects} and {@code safekeepers}
 * @param postgres    directory for what PostgreSQL touches, which its user can reach
 * @param safekeepers the Safekeepers that run here
 * @param masterKey   32 bytes; encrypts the stored passwords
 * @param apiKey      the bootstrap API key
 */
@SuppressWarnings("ArrayRecordComponent") // a key, never compared
public record NodeSettings(
        String name,
        Set<Role> roles,
        String host,
        int clusterPort,
        List<String> seeds,
        Path data,
        Path postgres,
        List<String> safekeepers,
        int httpPort,
        int gatewayPort,
        String idleTimeout,
        Journal journal,
        byte[] masterKey,
        String apiKey) {

    /** The PostgreSQL that holds journal and catalog. */
    public record Journal(String jdbcUrl, String user, String password) {
        @Override
        public String toString() {
            return "Journal[jdbcUrl=" + jdbcUrl + "]";
        }
    }

    public boolean has(Role role) {
        return roles.contains(role);
    }

    @Override
    public String toString() {
        return "NodeSettings[name=%s roles=%s host=%s data=%s]".formatted(name, roles, host, data);
    }
}
