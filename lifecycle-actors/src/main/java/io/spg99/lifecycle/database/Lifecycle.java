package io.spg99.lifecycle.database;

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
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * The lifecycle of a database: its states, and {@link #TABLE the table} of what leads from one to another. The names are
 * wire format (snapshots) and public (API): do not rename.
 */
public enum Lifecycle {
    /** Never created. */
    ABSENT,
    /** Created by word; its timeline does not exist on two Safekeepers yet. */
    CREATING,
    /** Complete and asleep: no writer. */
    STOPPED,
    /** A generation is being started, or the next attempt is waited for. */
    BOOTING,
    /** There is a writer, and two Safekeepers follow it. */
    READY,
    /** The writer may take no new work and is shutting down. */
    STOPPING,
    /** Several starts in a row failed. The next request tries again. */
    ERROR,
    /** What belongs to it is being removed. There is no way back. */
    DELETING,
    /** Gone; kept in the journal only, so that the id is never used again. */
    DELETED;

    /** One row: in state {@code from}, {@code event} leads to {@code to}. */
    record Row(Lifecycle from, Class<? extends DatabaseEvent> event, Lifecycle to) {}

    /** What is not here cannot happen. */
    static final List<Row> TABLE = List.of(
            new Row(ABSENT, DatabaseCreated.class, CREATING),
            new Row(ABSENT, DatabaseDeleted.class, DELETED),
            new Row(CREATING, BaseMade.class, CREATING),
            new Row(CREATING, TimelineCreated.class, STOPPED),
            new Row(CREATING, TunablesChanged.class, CREATING),
            new Row(CREATING, ProfileChosen.class, CREATING),
            new Row(CREATING, SizeChanged.class, CREATING),
            new Row(CREATING, DeletionStarted.class, DELETING),
            new Row(STOPPED, GenerationStarting.class, BOOTING),
            new Row(STOPPED, TunablesChanged.class, STOPPED),
            new Row(STOPPED, ProfileChosen.class, STOPPED),
            new Row(STOPPED, SizeChanged.class, STOPPED),
            new Row(STOPPED, TimelineMeasured.class, STOPPED),
            new Row(STOPPED, DeletionStarted.class, DELETING),
            new Row(BOOTING, GenerationStarting.class, BOOTING),
            new Row(BOOTING, GenerationFailed.class, BOOTING),
            new Row(BOOTING, GenerationReady.class, READY),
            new Row(BOOTING, StoppingStarted.class, STOPPING),
            new Row(BOOTING, GenerationEnded.class, STOPPED),
            new Row(BOOTING, WakeFailed.class, ERROR),
            new Row(BOOTING, TunablesChanged.class, BOOTING),
            new Row(BOOTING, ProfileChosen.class, BOOTING),
            new Row(BOOTING, SizeChanged.class, BOOTING),
            new Row(BOOTING, DeletionStarted.class, DELETING),
            new Row(READY, StoppingStarted.class, STOPPING),
            new Row(READY, GenerationEnded.class, STOPPED),
            new Row(READY, TunablesChanged.class, READY),
            new Row(READY, ProfileChosen.class, READY),
            new Row(READY, SizeChanged.class, READY),
            new Row(READY, HandoffStarted.class, READY),
            new Row(READY, FreezeStarted.class, READY),
            new Row(READY, DrainStarted.class, READY),
            new Row(READY, HandoffPostponed.class, READY),
            new Row(READY, HandoffAbandoned.class, READY),
            new Row(READY, HandoffFailed.class, READY),
            new Row(READY, WriterStopping.class, READY),
            new Row(READY, CandidateStarting.class, READY),
            new Row(READY, WriterSwitched.class, READY),
            new Row(READY, HandoffCompleted.class, READY),
            new Row(READY, CooldownEnded.class, READY),
            new Row(READY, TimelineMeasured.class, READY),
            new Row(READY, DeletionStarted.class, DELETING),
            new Row(STOPPING, GenerationEnded.class, STOPPED),
            new Row(STOPPING, TunablesChanged.class, STOPPING),
            new Row(STOPPING, ProfileChosen.class, STOPPING),
            new Row(STOPPING, SizeChanged.class, STOPPING),
            new Row(STOPPING, DeletionStarted.class, DELETING),
            new Row(ERROR, GenerationStarting.class, BOOTING),
            new Row(ERROR, TunablesChanged.class, ERROR),
            new Row(ERROR, ProfileChosen.class, ERROR),
            new Row(ERROR, SizeChanged.class, ERROR),
            new Row(ERROR, TimelineMeasured.class, ERROR),
            new Row(ERROR, DeletionStarted.class, DELETING),
            new Row(DELETING, DatabaseDeleted.class, DELETED));

    /** Empty if {@code event} cannot happen in this state. */
    Optional<Lifecycle> after(Class<? extends DatabaseEvent> event) {
        return TABLE.stream()
                .filter(row -> row.from == this && row.event.equals(event))
                .findFirst()
                .map(Row::to);
    }

    /** As users see it. */
    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }
}
