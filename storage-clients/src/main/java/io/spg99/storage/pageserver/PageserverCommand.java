package io.spg99.storage.pageserver;

import io.spg99.storage.StorageMessage;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.util.List;
import org.apache.pekko.actor.typed.ActorRef;

/**
 * The control conversation with a Pageserver, which knows of a timeline only what it is told here and what is in object
 * storage.
 *
 * <pre>
 * while a writer runs, and after it   Advance -> Snapshot, when there is one that is new to the asker
 * the end                             Forget  -> Forgotten
 * </pre>
 */
public sealed interface PageserverCommand extends StorageMessage {

    TimelineId timeline();

    /**
     * The timeline's WAL goes on to {@code end} now; it may be time for a snapshot.
     *
     * @param image   key of the timeline's base image
     * @param history lineage up to {@code end}
     * @param end     two Safekeepers have it up to here
     * @param sources Safekeepers that serve it
     * @param over    the generation that wrote it has ended, or a later one began there: no more will follow soon
     * @param booting a generation is starting, for which clients wait: what is due can wait too, until this is told again
     */
    record Advance(
            TimelineBase base,
            String image,
            WalHistory history,
            Lsn end,
            List<WalSource> sources,
            boolean over,
            boolean booting,
            ActorRef<PageserverReply> replyTo)
            implements PageserverCommand {

        public Advance {
            sources = List.copyOf(sources);
        }

        @Override
        public TimelineId timeline() {
            return base.timeline();
        }
    }

    /** Nothing more is written for this timeline once it is answered: its objects may be deleted. */
    record Forget(TimelineId timeline, ActorRef<PageserverReply> replyTo) implements PageserverCommand {}
}
