package io.spg99.lifecycle.catalog;

import java.time.Instant;

/**
 * A tenant as it is listed.
 *
 * @param deleting its databases are being deleted, and it goes with the last of them
 */
public record Tenant(String id, String name, String pgUser, boolean deleting, Instant createdAt) {}
