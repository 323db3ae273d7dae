package io.spg99.storage.safekeeper;

import io.spg99.storage.StorageMessage;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;

/** What a Safekeeper answers; see {@link SafekeeperCommand} for the conversation. */
public sealed interface SafekeeperReply extends StorageMessage {

    SafekeeperId safekeeper();

    TimelineId timeline();

    record Created(SafekeeperId safekeeper, TimelineId timeline) implements SafekeeperReply {}

    /**
     * The promise for {@code generation} is on disk, and so is every byte of {@code history} up to {@code flushed} (W1).
     *
     * @param established generation that this WAL was last made ready for; told by the next generation's choice
     * @param horizon     nothing before it is here: it is archived, and below a published snapshot (W6)
     */
    record Promised(
            SafekeeperId safekeeper,
            TimelineId timeline,
            int generation,
            int established,
            WalHistory history,
            Lsn flushed,
            Lsn horizon,
            WalSource source)
            implements SafekeeperReply {}

    /**
     * The promise is not the asker's: {@code promised} is higher, or the generation was established already, then the
     * asker has been superseded; or it is lower, then it has to be asked for (again).
     */
    record Refused(SafekeeperId safekeeper, TimelineId timeline, int generation, int promised)
            implements SafekeeperReply {}

    /** Nothing is known of this timeline here; such an answer is no vote. */
    record UnknownTimeline(SafekeeperId safekeeper, TimelineId timeline) implements SafekeeperReply {}

    record Established(SafekeeperId safekeeper, TimelineId timeline, int generation, Lsn end)
            implements SafekeeperReply {}

    /**
     * Where this Safekeeper's durable WAL ends; sent on request, and while attached whenever it has moved (at most every
     * 100 ms).
     *
     * @param generation last generation with bytes here
     * @param following  a stream from that generation's writer is up
     * @param full       it holds as much WAL that is in no snapshot as it may, and takes no more for now
     */
    record Position(
            SafekeeperId safekeeper,
            TimelineId timeline,
            int promised,
            int generation,
            Lsn flushed,
            boolean following,
            boolean full)
            implements SafekeeperReply {}

    /**
     * The writer of {@code generation} no longer has the WAL that follows {@code flushed}, nor has any donor; sent while
     * attached, at every attempt.
     */
    record Stranded(SafekeeperId safekeeper, TimelineId timeline, int generation, Lsn flushed)
            implements SafekeeperReply {}

    record Detached(SafekeeperId safekeeper, TimelineId timeline, int generation) implements SafekeeperReply {}

    record Restored(SafekeeperId safekeeper, TimelineId timeline, WalSource source) implements SafekeeperReply {}

    record Deleted(SafekeeperId safekeeper, TimelineId timeline) implements SafekeeperReply {}

    /** The disk failed or its content is damaged (W7): nothing was done, nothing is acknowledged. */
    record Failed(SafekeeperId safekeeper, TimelineId timeline, String reason) implements SafekeeperReply {}
}
