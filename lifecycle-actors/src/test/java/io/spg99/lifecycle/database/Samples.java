package io.spg99.lifecycle.database;

import io.spg99.gateway.login.PoolMode;
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
import io.spg99.lifecycle.database.event.StopCause;
import io.spg99.lifecycle.model.Base;
import io.spg99.lifecycle.model.DatabaseSpec;
import io.spg99.lifecycle.model.Profile;
import io.spg99.lifecycle.model.Tunables;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** One of everything that is written. */
final class Samples {

    static final Instant AT = Instant.parse("2026-11-22T09:00:00.123456Z");
    static final TimelineId TIMELINE = new TimelineId("0123456789abcdef0123456789abcdef");
    static final Tunables TUNABLES =
            new Tunables(Duration.ofMinutes(5), false, Profile.L1, Profile.L1, PoolMode.TRANSACTION);
    static final TimelineBase BASE = new TimelineBase(
            TIMELINE, 7_300_000_000_000_000_001L, 16 << 20, Lsn.parse("0/3000000"), new byte[] {1, 2, 3});
    static final WriterAddress WRITER = new WriterAddress("127.0.0.1", 5433);

    /** Every kind of event, each once. */
    static final List<DatabaseEvent> EVENTS = List.of(
            new DatabaseCreated(spec("db1"), AT),
            BaseMade.of(new Base("images/17.11/base.tar.zst", BASE), AT),
            new TimelineCreated(AT),
            new TunablesChanged(new Tunables(Duration.ZERO, true, Profile.L1, Profile.L5, PoolMode.TRANSACTION), AT),
            new GenerationStarting(2, AT),
            new GenerationReady(2, WRITER, 0, Optional.empty(), AT),
            new GenerationFailed(2, "out of luck", AT),
            new WakeFailed("out of luck, again", AT),
            new StoppingStarted(2, StopCause.IDLE, AT),
            new GenerationEnded(2, true, "stopped", Optional.of(AT), Optional.empty(), AT),
            new TimelineMeasured(
                    new Measures(
                            Optional.of(Lsn.parse("0/5000000")),
                            Optional.of(Lsn.parse("0/4000000")),
                            Optional.of(123L)),
                    Optional.of(AT),
                    AT),
            new ProfileChosen(Profile.L3, "asked for", AT),
            new SizeChanged(Profile.L2, AT),
            new HandoffStarted(3, Profile.L3, AT),
            new FreezeStarted(AT),
            new DrainStarted(AT),
            new HandoffPostponed("clients are at work", AT),
            new HandoffAbandoned("out of luck", AT),
            new HandoffFailed("out of luck, again", AT),
            new WriterStopping(AT),
            new CandidateStarting(AT),
            new WriterSwitched(3, WRITER, 1, AT),
            new HandoffCompleted(AT),
            new CooldownEnded(AT),
            new DeletionStarted(AT),
            new DatabaseDeleted(AT));

    private Samples() {}

    static DatabaseSpec spec(String databaseId) {
        return new DatabaseSpec(
                databaseId, "app", "t1", "demo", "tnt_0123456789", Profile.L1, TIMELINE.value(), TUNABLES);
    }
}
