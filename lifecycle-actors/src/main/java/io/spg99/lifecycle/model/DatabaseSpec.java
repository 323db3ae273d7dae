package io.spg99.lifecycle.model;

import io.spg99.storage.wal.TimelineId;

/**
 * What a database is made as.
 *
 * @param databaseId internal id; unique for ever
 * @param tenantId   internal id of the owner
 * @param tenant     the owner's name
 * @param roleName   the owner's {@code pg_user}
 * @param timelineId as {@link TimelineId}; a plain string, so that the journal's form depends on no other module
 */
public record DatabaseSpec(
        String databaseId,
        String name,
        String tenantId,
        String tenant,
        String roleName,
        Profile size,
        String timelineId,
        Tunables tunables) {

    public TimelineId timeline() {
        return new TimelineId(timelineId);
    }

    public DatabaseSpec withSize(Profile changed) {
        return new DatabaseSpec(databaseId, name, tenantId, tenant, roleName, changed, timelineId, tunables);
    }

    public DatabaseSpec with(Tunables changed) {
        return new DatabaseSpec(databaseId, name, tenantId, tenant, roleName, size, timelineId, changed);
    }
}
