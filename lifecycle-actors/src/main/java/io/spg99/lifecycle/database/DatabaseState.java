package io.spg99.lifecycle.database;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.spg99.lifecycle.LifecycleMessage;
import io.spg99.lifecycle.database.event.DatabaseEvent;
import io.spg99.lifecycle.database.event.DatabaseEvent.BaseMade;
import io.spg99.lifecycle.database.event.DatabaseEvent.DatabaseCreated;
import io.spg99.lifecycle.database.event.DatabaseEvent.DatabaseDeleted;
import io.spg99.lifecycle.database.event.DatabaseEvent.DeletionStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationEnded;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationFailed;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationReady;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationStarting;
import io.spg99.lifecycle.database.event.DatabaseEvent.StoppingStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.TimelineCreated;
import io.spg99.lifecycle.database.event.DatabaseEvent.TunablesChanged;
import io.spg99.lifecycle.database.event.DatabaseEvent.WakeFailed;
import io.spg99.lifecycle.model.Base;
import io.spg99.lifecycle.model.DatabaseSpec;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WriterAddress;
import java.time.Instant;
import java.util.Optional;

/** What a Database actor knows from its journal; also the form of its snapshots. */
sealed interface DatabaseState extends LifecycleMessage {

    Lifecycle lifecycle();

    /** Nothing was written yet. */
    record Absent() implements DatabaseState {
        @Override
        public Lifecycle lifecycle() {
            return Lifecycle.ABSENT;
        }
    }

    /** Deleted. */
    record Gone() implements DatabaseState {
        @Override
        public Lifecycle lifecycle() {
            return Lifecycle.DELETED;
        }
    }

    /**
     * A database.
     *
     * @param spec       as created, with the tunables of now
     * @param base       empty until it was made; never changes afterwards
     * @param generation the last one started; never falls
     * @param writer     present in READY and STOPPING
     * @param configured version of the managed configuration that the timeline holds; 0 if none, or if it must be looked at
     * @param failures   starts that failed in a row; zero in READY
     * @param lastError  why the last start failed or the last writer was lost; empty after a good start
     * @param lastUsed   as of the last end of a generation
     */
    record Existing(
            Lifecycle lifecycle,
            DatabaseSpec spec,
            Optional<BaseMade> base,
            int generation,
            Optional<WriterAddress> writer,
            @JsonInclude(JsonInclude.Include.NON_DEFAULT) int configured,
            int failures,
            Optional<String> lastError,
            Instant createdAt,
            Optional<Instant> lastUsed)
            implements DatabaseState {

        /** Where the timeline begins; empty until that was decided. */
        Optional<Base> begin() {
            return base.map(made -> made.of(spec.timeline()));
        }

        /** The same of a database that has left CREATING. */
        Base made() {
            return begin().orElseThrow(() -> new IllegalStateException(
                    "a database has its base once it was created: database=" + spec.databaseId()));
        }

        private Existing to(Lifecycle next) {
            return new Existing(
                    next, spec, base, generation, writer, configured, failures, lastError, createdAt, lastUsed);
        }

        private Existing withSpec(DatabaseSpec changed) {
            return new Existing(
                    lifecycle, changed, base, generation, writer, configured, failures, lastError, createdAt, lastUsed);
        }

        private Existing withBase(BaseMade made) {
            return new Existing(
                    lifecycle,
                    spec,
                    Optional.of(made),
                    generation,
                    writer,
                    configured,
                    failures,
                    lastError,
                    createdAt,
                    lastUsed);
        }

        private Existing starting(int next) {
            return new Existing(
                    lifecycle,
                    spec,
                    base,
                    next,
                    Optional.empty(),
                    configured,
                    failures,
                    lastError,
                    createdAt,
                    lastUsed);
        }

        private Existing ready(GenerationReady event) {
            return new Existing(
                    lifecycle,
                    spec,
                    base,
                    generation,
                    Optional.of(event.writer()),
                    event.configured(),
                    0,
                    Optional.empty(),
                    createdAt,
                    lastUsed);
        }

        private Existing failed(int count, String reason) {
            return new Existing(
                    lifecycle,
                    spec,
                    base,
                    generation,
                    Optional.empty(),
                    0,
                    count,
                    Optional.of(reason),
                    createdAt,
                    lastUsed);
        }

        private Existing ended(GenerationEnded event) {
            return new Existing(
                    lifecycle,
                    spec,
                    base,
                    generation,
                    Optional.empty(),
                    configured,
                    0,
                    event.orderly() ? lastError : Optional.of(event.reason()),
                    createdAt,
                    event.lastUsed().or(() -> lastUsed));
        }
    }

    /**
     * What {@code event} makes of {@code state}.
     *
     * @throws IllegalStateException if {@link Lifecycle#TABLE} has no such row
     */
    static DatabaseState transition(DatabaseState state, DatabaseEvent event) {
        Lifecycle next = state.lifecycle()
                .after(event.getClass())
                .orElseThrow(() -> new IllegalStateException("event cannot happen in this state: state="
                        + state.lifecycle() + " event=" + event.getClass().getSimpleName()));
        return switch (state) {
            case Absent absent -> begin(event, next);
            case Gone gone -> gone;
            case Existing database -> next == Lifecycle.DELETED ? new Gone() : apply(database.to(next), event);
        };
    }

    private static DatabaseState begin(DatabaseEvent event, Lifecycle next) {
        return event instanceof DatabaseCreated created
                ? new Existing(
                        next,
                        created.spec(),
                        Optional.empty(),
                        TimelineBase.CREATION,
                        Optional.empty(),
                        0,
                        0,
                        Optional.empty(),
                        created.at(),
                        Optional.empty())
                : new Gone();
    }

    private static Existing apply(Existing database, DatabaseEvent event) {
        return switch (event) {
            case DatabaseCreated e -> database;
            case BaseMade e -> database.withBase(e);
            case TimelineCreated e -> database;
            case TunablesChanged e -> database.withSpec(database.spec().with(e.tunables()));
            case GenerationStarting e -> database.starting(e.generation());
            case GenerationReady e -> database.ready(e);
            case GenerationFailed e -> database.failed(database.failures() + 1, e.reason());
            case WakeFailed e -> database.failed(0, e.reason());
            case StoppingStarted e -> database;
            case GenerationEnded e -> database.ended(e);
            case DeletionStarted e -> database;
            case DatabaseDeleted e -> database;
        };
    }
}
