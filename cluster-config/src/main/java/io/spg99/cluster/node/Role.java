package io.spg99.cluster.node;

import java.util.Locale;

/** What a node does. A node may have several roles; {@code dev} has all but the last. */
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
    PAGESERVER,
    /** PostgreSQL servers of Database actors that are on other nodes. */
    GENERATION;

    /** The role's name in the cluster and on the command line. */
    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }
}
