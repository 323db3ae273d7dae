package io.spg99.cluster.node;

import java.util.Locale;

/** What a node does. A node may have several roles; {@code dev} has all. */
public enum Role {
    /** HTTP API v2 and the catalog. */
    CONTROL,
    /** Database actors and their PostgreSQL servers. */
    COMPUTE,
    /** Clients' connections. */
    GATEWAY,
    /** WAL. */
    SAFEKEEPER,
    /** Snapshots. */
    PAGESERVER;

    /** The role's name in the cluster and on the command line. */
    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }
}
