package io.spg99.lifecycle.http;

import io.spg99.lifecycle.database.DatabaseReply;
import io.spg99.lifecycle.database.Databases;
import io.spg99.lifecycle.model.DatabaseSpec;
import io.spg99.lifecycle.model.DatabaseView;
import io.spg99.lifecycle.model.Profile;
import io.spg99.lifecycle.model.Tunables;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeoutException;

/** Databases that change state at once; some names have a fate of their own. */
final class FakeDatabases implements Databases {

    /** A database of this name never answers. */
    static final String SILENT = "silent";

    /** One of this name has connections. */
    static final String BUSY = "busy";

    private record Known(DatabaseSpec spec, String state) {}

    private final Map<String, Known> known = new ConcurrentHashMap<>();

    private static CompletionStage<DatabaseReply> done(DatabaseReply reply) {
        return CompletableFuture.completedStage(reply);
    }

    private static DatabaseView view(Known database) {
        return DatabaseView.of(database.spec(), database.state(), Instant.parse("2026-11-22T10:00:00Z"));
    }

    private CompletionStage<DatabaseReply> to(Known database) {
        if (database.spec().name().equals(SILENT)) {
            return CompletableFuture.failedStage(new TimeoutException("no answer: " + database));
        }
        known.put(database.spec().databaseId(), database);
        return done(new DatabaseReply.Accepted(view(database), 1));
    }

    private CompletionStage<DatabaseReply> to(String databaseId, String state) {
        return Optional.ofNullable(known.get(databaseId))
                .map(database -> to(new Known(database.spec(), state)))
                .orElseGet(() -> done(new DatabaseReply.NotFound()));
    }

    @Override
    public CompletionStage<DatabaseReply> create(DatabaseSpec spec) {
        return to(new Known(spec, "stopped"));
    }

    @Override
    public CompletionStage<DatabaseReply> describe(String databaseId) {
        return Optional.ofNullable(known.get(databaseId))
                .map(database -> done(new DatabaseReply.Described(view(database))))
                .orElseGet(() -> done(new DatabaseReply.NotFound()));
    }

    @Override
    public CompletionStage<DatabaseReply> start(String databaseId) {
        return to(databaseId, "booting");
    }

    @Override
    public CompletionStage<DatabaseReply> stop(String databaseId) {
        return to(databaseId, "stopping");
    }

    @Override
    public CompletionStage<DatabaseReply> change(String databaseId, Tunables tunables, Optional<Profile> size) {
        Known database = known.get(databaseId);
        return database == null
                ? done(new DatabaseReply.NotFound())
                : to(new Known(
                        database.spec()
                                .with(tunables)
                                .withSize(size.orElse(database.spec().size())),
                        database.state()));
    }

    @Override
    public CompletionStage<DatabaseReply> scale(String databaseId, Profile profile) {
        Known database = known.get(databaseId);
        return database == null
                ? done(new DatabaseReply.NotFound())
                : change(databaseId, database.spec().tunables(), Optional.of(profile));
    }

    @Override
    public CompletionStage<DatabaseReply> delete(String databaseId, boolean force) {
        Known database = known.get(databaseId);
        if (database != null && database.spec().name().equals(BUSY) && !force) {
            return done(new DatabaseReply.Conflict("the database has 1 active connections: use force=true"));
        }
        return to(databaseId, "deleting");
    }
}
