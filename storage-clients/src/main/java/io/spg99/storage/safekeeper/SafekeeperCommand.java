package io.spg99.storage.safekeeper;

import io.spg99.storage.StorageMessage;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.util.List;
import org.apache.pekko.actor.typed.ActorRef;

/**
 * The control conversation with one Safekeeper. WAL itself travels in PostgreSQL's replication protocol, never here.
 *
 * <pre>
 * creation      Create                      -> Created
 * every start   Promise(g)                  -> Promised(position) | Refused | UnknownTimeline     (two of three)
 *               Establish(g, history, end)  -> Established when its WAL is exactly that history   (W3)
 *               Attach(g, writer)           -> Position, Position, … for as long as it follows; Stranded if it cannot
 *               QuorumPosition(g, lsn)         (no answer: lets it serve WAL up to there, W4, and the writer remove it)
 *               Trim(g, horizon)               (no answer: lets it remove WAL, W6)
 * a lost disk   Restore(base, g), then Establish: its answers count only after that
 * the end       Detach(g) -> Detached | Delete -> Deleted
 * </pre>
 *
 * Every command that names a generation lower than the promised one is answered with {@link Refused} (W2).
 */
public sealed interface SafekeeperCommand extends StorageMessage {

    TimelineId timeline();

    /** Begins a timeline; repeating it is harmless. */
    record Create(TimelineBase base, ActorRef<SafekeeperReply> replyTo) implements SafekeeperCommand {
        @Override
        public TimelineId timeline() {
            return base.timeline();
        }
    }

    /** Asks never to take WAL from a generation below {@code generation} again (W1, W2). */
    record Promise(TimelineId timeline, int generation, ActorRef<SafekeeperReply> replyTo)
            implements SafekeeperCommand {}

    /**
     * Makes this Safekeeper's WAL exactly {@code history} up to {@code end}: what diverges is cut off, what is missing is
     * fetched from {@code donors}. Needs the promise for {@code generation}: that it is still there proves that the vote was not lost
     * with a disk; otherwise the answer is {@link SafekeeperReply.Refused} with the lower number.
     * There is one choice for one generation, ever. What is missing from before {@code horizon}, the start of a segment not after
     * the quorum position, is in object storage and is not brought, be it of {@code generation} itself.
     */
    record Establish(
            TimelineId timeline,
            int generation,
            WalHistory history,
            Lsn end,
            Lsn horizon,
            List<WalSource> donors,
            ActorRef<SafekeeperReply> replyTo)
            implements SafekeeperCommand {}

    /**
     * Follows the writer of {@code generation}, whose WAL continues the established history, until detached or promised
     * away; reconnects by itself, and fills from {@code donors} what the writer no longer has. Repeated, it names new donors.
     */
    record Attach(
            TimelineId timeline,
            int generation,
            WriterAddress writer,
            List<WalSource> donors,
            ActorRef<SafekeeperReply> replyTo)
            implements SafekeeperCommand {}

    /** Two of three Safekeepers have the WAL of {@code generation} up to {@code lsn}: it may be served (W4). */
    record QuorumPosition(TimelineId timeline, int generation, Lsn lsn) implements SafekeeperCommand {}

    /** WAL before {@code horizon} is archived, and below a published snapshot: it may be removed (W6). */
    record Trim(TimelineId timeline, int generation, Lsn horizon) implements SafekeeperCommand {}

    /** Stops following the writer of {@code generation}. */
    record Detach(TimelineId timeline, int generation, ActorRef<SafekeeperReply> replyTo)
            implements SafekeeperCommand {}

    /**
     * Begins a timeline again on a Safekeeper that lost it, already promised to {@code generation}.
     *
     * @param had it was established there for {@code generation}: one that is there now and never was, is another
     */
    record Restore(TimelineBase base, int generation, boolean had, ActorRef<SafekeeperReply> replyTo)
            implements SafekeeperCommand {
        @Override
        public TimelineId timeline() {
            return base.timeline();
        }
    }

    record GetPosition(TimelineId timeline, ActorRef<SafekeeperReply> replyTo) implements SafekeeperCommand {}

    /** Forgets a timeline and removes its WAL; repeating it is harmless. */
    record Delete(TimelineId timeline, ActorRef<SafekeeperReply> replyTo) implements SafekeeperCommand {}
}
