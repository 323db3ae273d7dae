package io.spg99.lifecycle.database.event;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.spg99.lifecycle.LifecycleMessage;
import io.spg99.lifecycle.model.Base;
import io.spg99.lifecycle.model.DatabaseSpec;
import io.spg99.lifecycle.model.Profile;
import io.spg99.lifecycle.model.Tunables;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.time.Instant;
import java.util.Optional;

/**
 * What happened to a database. Every step is written before it is acted on:
 *
 * <pre>
 * DatabaseCreated  BaseMade  TimelineCreated                  creation
 * GenerationStarting (GenerationFailed GenerationStarting)*   a wake, with its failed attempts
 *     GenerationReady StoppingStarted GenerationEnded         an orderly life
 *     GenerationEnded                                         the writer was lost
 *     WakeFailed                                              too many failed attempts
 * ProfileChosen HandoffStarted FreezeStarted DrainStarted WriterStopping CandidateStarting WriterSwitched
 *     HandoffCompleted CooldownEnded                          a change of profile
 *     HandoffPostponed, HandoffAbandoned, HandoffFailed       before WriterStopping: the writer serves on
 * TimelineMeasured                                            positions and sizes, for people
 * DeletionStarted  DatabaseDeleted                            the end
 * </pre>
 */
public sealed interface DatabaseEvent extends LifecycleMessage {

    Instant at();

    record DatabaseCreated(DatabaseSpec spec, Instant at) implements DatabaseEvent {}

    /**
     * The timeline's beginning is fixed; from here on the Safekeepers may be told of it. The fields are those of
     * {@link TimelineBase}, one by one: the journal's form depends on no other module.
     */
    @SuppressWarnings("ArrayRecordComponent") // a few bytes of WAL, never compared and never changed
    record BaseMade(String image, long systemIdentifier, int segmentSize, long start, byte[] firstWal, Instant at)
            implements DatabaseEvent {

        public static BaseMade of(Base base, Instant at) {
            TimelineBase timeline = base.timeline();
            return new BaseMade(
                    base.image(),
                    timeline.systemIdentifier(),
                    timeline.segmentSize(),
                    timeline.start().value(),
                    timeline.firstWal(),
                    at);
        }

        public Base of(TimelineId timeline) {
            return new Base(image, new TimelineBase(timeline, systemIdentifier, segmentSize, Lsn.of(start), firstWal));
        }
    }

    /** Two Safekeepers hold the timeline. */
    record TimelineCreated(Instant at) implements DatabaseEvent {}

    record TunablesChanged(Tunables tunables, Instant at) implements DatabaseEvent {}

    /** {@code generation} is larger than any before; no Safekeeper was asked for its promise yet. */
    record GenerationStarting(int generation, Instant at) implements DatabaseEvent {}

    /**
     * The writer is configured and two Safekeepers follow it.
     *
     * @param configured version of the managed configuration that is now part of the timeline; 0 in what older versions wrote
     * @param lastUsed   when somebody last wanted it; empty if nobody did, and in what older versions wrote
     */
    record GenerationReady(
            int generation,
            WriterAddress writer,
            @JsonInclude(JsonInclude.Include.NON_DEFAULT) int configured,
            @JsonInclude(JsonInclude.Include.NON_ABSENT) Optional<Instant> lastUsed,
            Instant at)
            implements DatabaseEvent {}

    /** An attempt to start failed; nothing of it is left. */
    record GenerationFailed(int generation, String reason, Instant at) implements DatabaseEvent {}

    /** The last of too many attempts failed: somebody must look at {@code reason}. */
    record WakeFailed(String reason, Instant at) implements DatabaseEvent {}

    record StoppingStarted(int generation, StopCause cause, Instant at) implements DatabaseEvent {}

    /**
     * The writer is gone.
     *
     * @param orderly  it was shut down cleanly on request
     * @param reason   what happened
     * @param lastUsed when the database was last used, if that is known
     * @param measures what is known of the timeline; empty in what older versions wrote
     */
    record GenerationEnded(
            int generation,
            boolean orderly,
            String reason,
            Optional<Instant> lastUsed,
            @JsonInclude(JsonInclude.Include.NON_ABSENT) Optional<Measures> measures,
            Instant at)
            implements DatabaseEvent {}

    /**
     * Something new is known of the timeline: another snapshot, or where a generation's WAL ended.
     *
     * @param lastUsed as in {@link GenerationEnded}
     */
    record TimelineMeasured(Measures measures, Optional<Instant> lastUsed, Instant at) implements DatabaseEvent {}

    /**
     * A profile was asked for, by hand or by the autoscaler: the next writer has it, and one that runs is replaced.
     *
     * @param reason for people
     */
    record ProfileChosen(Profile profile, String reason, Instant at) implements DatabaseEvent {}

    /** The database's own size; chosen with it. */
    record SizeChanged(Profile size, Instant at) implements DatabaseEvent {}

    /** A candidate is started; {@code generation} is larger than any before. */
    record HandoffStarted(int generation, Profile profile, Instant at) implements DatabaseEvent {}

    record FreezeStarted(Instant at) implements DatabaseEvent {}

    record DrainStarted(Instant at) implements DatabaseEvent {}

    /** Not now: everything goes on, the candidate too, and it is tried again. */
    record HandoffPostponed(String reason, Instant at) implements DatabaseEvent {}

    /** The candidate is gone, the writer serves on. */
    record HandoffAbandoned(String reason, Instant at) implements DatabaseEvent {}

    /** The same, and it is not tried again before somebody asks for it. */
    record HandoffFailed(String reason, Instant at) implements DatabaseEvent {}

    /** Nothing runs in the Gateways: the old writer is told to stop. */
    record WriterStopping(Instant at) implements DatabaseEvent {}

    /** The old writer has ended, or must have: the promise for the candidate is asked for. */
    record CandidateStarting(Instant at) implements DatabaseEvent {}

    /**
     * The candidate is the writer: configured, followed by two Safekeepers.
     *
     * @param configured as in {@link GenerationReady}
     */
    record WriterSwitched(int generation, WriterAddress writer, int configured, Instant at) implements DatabaseEvent {}

    record HandoffCompleted(Instant at) implements DatabaseEvent {}

    record CooldownEnded(Instant at) implements DatabaseEvent {}

    record DeletionStarted(Instant at) implements DatabaseEvent {}

    /** Nothing of the database is left but this. */
    record DatabaseDeleted(Instant at) implements DatabaseEvent {}
}
