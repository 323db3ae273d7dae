package io.spg99.storage.quorum;

import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.wal.Lsn;
import org.apache.pekko.actor.typed.ActorRef;

/** What a Database actor asks of its WAL quorum (a child actor, never remote). Every answer comes within a deadline. */
public sealed interface QuorumCommand {

    /** Begins the timeline on at least two Safekeepers. Answer: {@link QuorumReply.Created} or Unavailable. */
    record Create(ActorRef<QuorumReply> replyTo) implements QuorumCommand {}

    /**
     * Obtains the promise for {@code generation} from two Safekeepers, chooses the end of the timeline and establishes it
     * on two of them. Answer: {@link QuorumReply.Prepared}, Superseded or Unavailable.
     *
     * @param owner hears of the choice, if it is one that needs no more than to be established
     */
    record Prepare(int generation, ActorRef<QuorumReply> replyTo, ActorRef<QuorumEvent> owner)
            implements QuorumCommand {}

    /**
     * Lets the Safekeepers follow the writer of {@code generation}. Answer: {@link QuorumReply.Following} once two of them
     * have WAL of that generation on disk; from then on the third is looked after too, until {@link Release}.
     *
     * @param owner hears if the writer turns out to be lost to them
     */
    record Follow(int generation, WriterAddress writer, ActorRef<QuorumReply> replyTo, ActorRef<QuorumEvent> owner)
            implements QuorumCommand {}

    /**
     * WAL before {@code horizon} is archived, and below a published snapshot: Safekeepers may remove it (W6). They do while a
     * writer is followed, as far as two of them have the WAL. No answer.
     */
    record Horizon(Lsn horizon) implements QuorumCommand {}

    /** The writer is gone: nobody follows it any longer. No answer. */
    record Release(int generation) implements QuorumCommand {}

    /** Answer: {@link QuorumReply.Positions}, at once, from what was last heard. */
    record GetPositions(ActorRef<QuorumReply> replyTo) implements QuorumCommand {}

    /** Removes the timeline from all three Safekeepers. Answer: {@link QuorumReply.Deleted} or Unavailable (retry). */
    record Delete(ActorRef<QuorumReply> replyTo) implements QuorumCommand {}

    /** The quorum actor's own timers and adapted replies. */
    non-sealed interface Private extends QuorumCommand {}
}
