package io.spg99.lifecycle.catalog;

import io.spg99.lifecycle.model.DatabaseSpec;
import io.spg99.lifecycle.model.DatabaseView;
import java.time.Instant;
import java.util.Optional;

/**
 * A database as it is listed.
 *
 * @param view empty until its actor first wrote one
 * @param deleting its tenant is being deleted
 */
public record DatabaseRow(
        DatabaseSpec spec, String state, Optional<DatabaseView> view, Instant createdAt, boolean deleting) {}
