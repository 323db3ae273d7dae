package io.spg99.cluster.node;

import java.nio.file.Path;
import java.util.List;

/**
 * A node with any roles; a Safekeeper alone needs less: {@link SafekeeperNodeSettings}.
 *
 * @param name        shown as {@code worker_id}
 * @param data        this node's directory; holds {@code objects} and {@code safekeepers}
 * @param postgres    directory for what PostgreSQL touches, which its user can reach
 * @param safekeepers the Safekeepers that run here, if it has that role
 * @param masterKey   32 bytes; encrypts the stored passwords
 * @param apiKey      the bootstrap API key
 */
@SuppressWarnings("ArrayRecordComponent") // a key, never compared
public record NodeSettings(
        String name,
        MemberSettings member,
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
        return member.roles().contains(role);
    }

    @Override
    public String toString() {
        return "NodeSettings[name=%s member=%s data=%s]".formatted(name, member, data);
    }
}
