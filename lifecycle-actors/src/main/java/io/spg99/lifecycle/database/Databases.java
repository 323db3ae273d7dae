package io.spg99.lifecycle.database;

import io.spg99.lifecycle.model.DatabaseSpec;
import io.spg99.lifecycle.model.Profile;
import io.spg99.lifecycle.model.Tunables;
import java.util.Optional;
import java.util.concurrent.CompletionStage;

/** Port: the Database actors of the cluster, by id. A stage fails if the actor cannot be reached in time. */
public interface Databases {

    /** Answered when the database is complete, which can take long. */
    CompletionStage<DatabaseReply> create(DatabaseSpec spec);

    CompletionStage<DatabaseReply> describe(String databaseId);

    CompletionStage<DatabaseReply> start(String databaseId);

    CompletionStage<DatabaseReply> stop(String databaseId);

    /** @param size empty to leave it as it is */
    CompletionStage<DatabaseReply> change(String databaseId, Tunables tunables, Optional<Profile> size);

    CompletionStage<DatabaseReply> scale(String databaseId, Profile profile);

    CompletionStage<DatabaseReply> delete(String databaseId, boolean force);
}
