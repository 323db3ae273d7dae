package io.spg99.storage.safekeeper;

/** What Safekeepers find in every writer; it is part of the base images. */
public final class WriterNames {

    /** The role Safekeepers follow a writer as. */
    public static final String SAFEKEEPER_ROLE = "spg99_safekeeper";

    /** The physical replication slot that Safekeepers move when two of them have a writer's WAL. */
    public static final String QUORUM_SLOT = "spg99_quorum";

    private WriterNames() {}
}
