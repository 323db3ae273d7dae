package io.spg99.compute.generation;

import io.spg99.storage.safekeeper.TimelineBase;
import java.util.OptionalInt;

/**
 * What a compute needs to prepare one generation (DESIGN.md section 5); {@link Recovery} is the rest.
 *
 * @param databaseId   for logs and directory names
 * @param databaseName the user database's name
 * @param roleName     the tenant's {@code pg_user}; owns the database, is no superuser
 * @param image        key of the base image, as given by {@link io.spg99.compute.image.BaseImages}
 * @param generation   number of the new generation: the TLI PostgreSQL must come up on
 * @param configured   version of the managed configuration that is part of this history; 0 for none
 * @param profile      its size, fixed for its life
 * @param writer       of a candidate: the running generation whose WAL it follows until it is told to take over
 */
public record GenerationSpec(
        String databaseId,
        String databaseName,
        String roleName,
        String image,
        TimelineBase base,
        int generation,
        int configured,
        Profile profile,
        OptionalInt writer) {

    /** A candidate. */
    public boolean prepareOnly() {
        return writer.isPresent();
    }
}
