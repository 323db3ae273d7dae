package io.spg99.lifecycle.database;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.spg99.lifecycle.LifecycleMessage;
import io.spg99.lifecycle.database.event.DatabaseEvent;
import io.spg99.lifecycle.database.event.DatabaseEvent.BaseMade;
import io.spg99.lifecycle.database.event.DatabaseEvent.CandidateStarting;
import io.spg99.lifecycle.database.event.DatabaseEvent.CooldownEnded;
import io.spg99.lifecycle.database.event.DatabaseEvent.DatabaseCreated;
import io.spg99.lifecycle.database.event.DatabaseEvent.DatabaseDeleted;
import io.spg99.lifecycle.database.event.DatabaseEvent.DeletionStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.DrainStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.FreezeStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationEnded;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationFailed;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationReady;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationStarting;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffAbandoned;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffCompleted;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffFailed;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffPostponed;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.ProfileChosen;
import io.spg99.lifecycle.database.event.DatabaseEvent.SizeChanged;
import io.spg99.lifecycle.database.event.DatabaseEvent.StoppingStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.TimelineCreated;
import io.spg99.lifecycle.database.event.DatabaseEvent.TimelineMeasured;
import io.spg99.lifecycle.database.event.DatabaseEvent.TunablesChanged;
import io.spg99.lifecycle.database.event.DatabaseEvent.WakeFailed;
import io.spg99.lifecycle.database.event.DatabaseEvent.WriterStopping;
import io.spg99.lifecycle.database.event.DatabaseEvent.WriterSwitched;
import io.spg99.lifecycle.database.event.Measures;
import io.spg99.lifecycle.model.Base;
import io.spg99.lifecycle.model.DatabaseSpec;
import io.spg99.lifecycle.model.Profile;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WriterAddress;
import java.time.Instant;
import java.util.Optional;
import java.util.function.Consumer;

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
     * @param lastUsed   as of the last event that tells
     * @param scale      empty as long as nothing was ever chosen or changed
     * @param known      of the timeline; empty as long as nothing was ever heard of it
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
            Optional<Instant> lastUsed,
            @JsonInclude(JsonInclude.Include.NON_ABSENT) Optional<Scaling> scale,
            @JsonInclude(JsonInclude.Include.NON_ABSENT) Optional<Measures> known)
            implements DatabaseState {

        Measures measures() {
            return known.orElse(Measures.NONE);
        }

        Scaling scaling() {
            return scale.orElse(Scaling.INITIAL);
        }

        ScaleState scaleState() {
            return scaling().state();
        }

        /** Of the writer, or the last one. */
        Profile runningProfile() {
            return scaling().running().orElse(spec.size());
        }

        /** Of the next writer. */
        Profile chosenProfile() {
            return scaling().chosen().orElse(spec.size());
        }

        /** Larger than that of any generation before, candidates included. */
        int nextGeneration() {
            return Math.max(generation, scaling().candidate()) + 1;
        }

        /** Where the timeline begins; empty until that was decided. */
        Optional<Base> begin() {
            return base.map(made -> made.of(spec.timeline()));
        }

        /** The same of a database that has left CREATING. */
        Base made() {
            return begin().orElseThrow(() -> new IllegalStateException(
                    "a database has its base once it was created: database=" + spec.databaseId()));
        }

        private Existing with(Consumer<Draft> change) {
            Draft draft = new Draft(this);
            change.accept(draft);
            return draft.made();
        }

        private Existing to(Lifecycle next) {
            return with(draft -> draft.lifecycle = next);
        }

        private Existing withSpec(DatabaseSpec changed) {
            return with(draft -> draft.spec = changed);
        }

        private Existing with(Scaling next) {
            return with(draft -> draft.scale = next.equals(Scaling.INITIAL) ? Optional.empty() : Optional.of(next));
        }

        /** @throws IllegalStateException if {@link ScaleState#TABLE} has no such row */
        private Existing scaled(DatabaseEvent event) {
            ScaleState next = scaleState()
                    .after(event.getClass())
                    .orElseThrow(() -> new IllegalStateException("event cannot happen in this state: scale_state="
                            + scaleState() + " event=" + event.getClass().getSimpleName()));
            return with(scaling().to(next));
        }

        private Existing chosen(Profile profile, String reason) {
            return with(scaling().chosen(profile, reason));
        }

        private Existing postponed(String reason) {
            return with(scaling().failed(reason));
        }

        private Existing switched(WriterSwitched event) {
            Profile profile = scaling().preparing().orElse(chosenProfile());
            return with(draft -> {
                        draft.generation = event.generation();
                        draft.serves(event.writer(), event.configured());
                    })
                    .with(scaling().running(profile));
        }

        private Existing withBase(BaseMade made) {
            return with(draft -> draft.base = Optional.of(made));
        }

        private Existing starting(int next) {
            Existing started = with(draft -> {
                draft.generation = next;
                draft.writer = Optional.empty();
            });
            return chosenProfile() == runningProfile()
                    ? started
                    : started.with(scaling().running(chosenProfile()));
        }

        private Existing ready(GenerationReady event) {
            return with(draft -> {
                draft.serves(event.writer(), event.configured());
                draft.lastUsed = event.lastUsed().or(() -> lastUsed);
            });
        }

        private Existing failed(int count, String reason) {
            return with(draft -> {
                draft.writer = Optional.empty();
                draft.configured = 0;
                draft.failures = count;
                draft.lastError = Optional.of(reason);
            });
        }

        private Existing ended(GenerationEnded event) {
            return with(draft -> {
                        draft.writer = Optional.empty();
                        draft.failures = 0;
                        draft.lastError = event.orderly() ? lastError : Optional.of(event.reason());
                    })
                    .measured(event.measures().orElse(Measures.NONE), event.lastUsed());
        }

        private Existing measured(Measures heard, Optional<Instant> used) {
            Measures all = heard.or(measures());
            return with(draft -> {
                draft.lastUsed = used.or(() -> lastUsed);
                draft.known = all.equals(Measures.NONE) ? Optional.empty() : Optional.of(all);
            });
        }
    }

    /** An {@link Existing} that is being made of another one. */
    final class Draft {
        private final Instant createdAt;
        private Lifecycle lifecycle;
        private DatabaseSpec spec;
        private Optional<BaseMade> base;
        private int generation;
        private Optional<WriterAddress> writer;
        private int configured;
        private int failures;
        private Optional<String> lastError;
        private Optional<Instant> lastUsed;
        private Optional<Scaling> scale;
        private Optional<Measures> known;

        private Draft(Existing from) {
            createdAt = from.createdAt;
            lifecycle = from.lifecycle;
            spec = from.spec;
            base = from.base;
            generation = from.generation;
            writer = from.writer;
            configured = from.configured;
            failures = from.failures;
            lastError = from.lastError;
            lastUsed = from.lastUsed;
            scale = from.scale;
            known = from.known;
        }

        private void serves(WriterAddress address, int version) {
            writer = Optional.of(address);
            configured = version;
            failures = 0;
            lastError = Optional.empty();
        }

        private Existing made() {
            return new Existing(
                    lifecycle,
                    spec,
                    base,
                    generation,
                    writer,
                    configured,
                    failures,
                    lastError,
                    createdAt,
                    lastUsed,
                    scale,
                    known);
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
            case Existing database ->
                next == Lifecycle.DELETED ? new Gone() : apply(database.to(next).scaled(event), event);
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
                        Optional.empty(),
                        Optional.empty(),
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
            case ProfileChosen e -> database.chosen(e.profile(), e.reason());
            case SizeChanged e ->
                database.with(database.scaling().running(database.runningProfile()))
                        .withSpec(database.spec().withSize(e.size()))
                        .chosen(e.size(), "the database's size");
            case HandoffStarted e -> database.with(database.scaling().preparing(e.generation(), e.profile()));
            case FreezeStarted e -> database;
            case DrainStarted e -> database;
            case HandoffPostponed e -> database.postponed(e.reason());
            case HandoffAbandoned e -> database.postponed(e.reason());
            case HandoffFailed e -> database.postponed(e.reason());
            case WriterStopping e -> database;
            case CandidateStarting e -> database;
            case WriterSwitched e -> database.switched(e);
            case HandoffCompleted e -> database;
            case CooldownEnded e -> database;
            case GenerationReady e -> database.ready(e);
            case GenerationFailed e -> database.failed(database.failures() + 1, e.reason());
            case WakeFailed e -> database.failed(0, e.reason());
            case StoppingStarted e -> database;
            case GenerationEnded e -> database.ended(e);
            case TimelineMeasured e -> database.measured(e.measures(), e.lastUsed());
            case DeletionStarted e -> database;
            case DatabaseDeleted e -> database;
        };
    }
}
