package io.spg99.compute.generation;

import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.util.List;

/**
 * All a compute needs to start one generation (DESIGN.md section 5).
 *
 * @param databaseId   for logs and directory names
 * @param databaseName the user database's name
 * @param roleName     the tenant's {@code pg_user}; owns the database, is no superuser
 * @param image        key of the base image, as given by {@link io.spg99.compute.image.BaseImages}
 * @param generation   number of the new generation: the TLI PostgreSQL must come up on
 * @param history      lineage up to {@code end}; its last term is the parent
 * @param end          R: the WAL is replayed to exactly here
 * @param sources      Safekeepers that serve this WAL, best first
 * @param configured   version of the managed configuration that is part of this history; 0 for none
 */
public record GenerationSpec(
        String databaseId,
        String databaseName,
        String roleName,
        String image,
        TimelineBase base,
        int generation,
        WalHistory history,
        Lsn end,
        List<WalSource> sources,
        int configured) {

    public GenerationSpec {
        sources = List.copyOf(sources);
    }

    public int parent() {
        return history.last().generation();
    }
}
