package io.spg99.lifecycle.database;

import io.spg99.lifecycle.database.event.DatabaseEvent;
import io.spg99.lifecycle.database.event.DatabaseEvent.CandidateStarting;
import io.spg99.lifecycle.database.event.DatabaseEvent.CooldownEnded;
import io.spg99.lifecycle.database.event.DatabaseEvent.DeletionStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.DrainStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.FreezeStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationEnded;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationStarting;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffAbandoned;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffCompleted;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffFailed;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffPostponed;
import io.spg99.lifecycle.database.event.DatabaseEvent.HandoffStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.ProfileChosen;
import io.spg99.lifecycle.database.event.DatabaseEvent.SizeChanged;
import io.spg99.lifecycle.database.event.DatabaseEvent.StoppingStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.WriterStopping;
import io.spg99.lifecycle.database.event.DatabaseEvent.WriterSwitched;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Where a change of profile stands: its states, and {@link #TABLE the table} of what leads from one to another, beside
 * {@link Lifecycle}, which says when it may happen at all: with a writer that is ready. The names are wire format (snapshots)
 * and public (API): do not rename.
 */
public enum ScaleState {
    /** The writer has the profile that was chosen, or another attempt is waited for. */
    STEADY,
    /** A candidate follows the writer, which does not notice. */
    PREPARING,
    /** Gateways are told to begin nothing. */
    FREEZING,
    /** What runs in the Gateways may finish. */
    DRAINING,
    /** Nobody uses the writer any more; it shuts down. */
    STOPPING_OLD,
    /** The candidate has the promise, or is getting it, and takes over. */
    STARTING_NEW,
    /** The candidate is the writer; Gateways are told. */
    SWITCHING,
    /** Nothing moves for a while. */
    COOLDOWN,
    /** Several attempts failed for a reason that does not pass by itself. The database serves on. */
    FAILED;

    /** One row: in state {@code from}, {@code event} leads to {@code to}. */
    record Row(ScaleState from, Class<? extends DatabaseEvent> event, ScaleState to) {}

    /** For the events of a change of profile: what is not here cannot happen. */
    static final List<Row> TABLE = List.of(
            new Row(STEADY, HandoffStarted.class, PREPARING),
            new Row(PREPARING, FreezeStarted.class, FREEZING),
            new Row(PREPARING, HandoffPostponed.class, PREPARING),
            new Row(PREPARING, HandoffAbandoned.class, STEADY),
            new Row(PREPARING, HandoffFailed.class, FAILED),
            new Row(FREEZING, DrainStarted.class, DRAINING),
            new Row(FREEZING, HandoffPostponed.class, PREPARING),
            new Row(FREEZING, HandoffAbandoned.class, STEADY),
            new Row(FREEZING, HandoffFailed.class, FAILED),
            new Row(DRAINING, WriterStopping.class, STOPPING_OLD),
            new Row(DRAINING, HandoffPostponed.class, PREPARING),
            new Row(DRAINING, HandoffAbandoned.class, STEADY),
            new Row(DRAINING, HandoffFailed.class, FAILED),
            new Row(STOPPING_OLD, CandidateStarting.class, STARTING_NEW),
            new Row(STARTING_NEW, WriterSwitched.class, SWITCHING),
            new Row(SWITCHING, HandoffCompleted.class, COOLDOWN),
            new Row(COOLDOWN, CooldownEnded.class, STEADY));

    /** Events with which the writer goes, or comes in another way: whatever was under way is over. */
    private static final Set<Class<? extends DatabaseEvent>> ENDS =
            Set.of(GenerationStarting.class, GenerationEnded.class, StoppingStarted.class, DeletionStarted.class);

    /** Events that somebody has had another look. */
    private static final Set<Class<? extends DatabaseEvent>> CHOICES = Set.of(ProfileChosen.class, SizeChanged.class);

    /** Empty if {@code event} cannot happen in this state. */
    Optional<ScaleState> after(Class<? extends DatabaseEvent> event) {
        if (ENDS.contains(event) || (this == FAILED && CHOICES.contains(event))) {
            return Optional.of(STEADY);
        }
        if (TABLE.stream().noneMatch(row -> row.event.equals(event))) {
            return Optional.of(this);
        }
        return TABLE.stream()
                .filter(row -> row.from == this && row.event.equals(event))
                .findFirst()
                .map(Row::to);
    }

    /** The old writer is, or may be, no longer one; there is no way back to it. */
    boolean pastTheWriter() {
        return this == STOPPING_OLD || this == STARTING_NEW || this == SWITCHING;
    }

    /** A candidate exists beside the writer. */
    boolean hasCandidate() {
        return this == PREPARING || this == FREEZING || this == DRAINING || pastTheWriter();
    }

    /** No transaction begins. */
    boolean frozen() {
        return this == FREEZING || this == DRAINING || pastTheWriter();
    }
}
