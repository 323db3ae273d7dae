package io.spg99.compute.generation;

import io.spg99.compute.ComputeMessage;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.wal.Lsn;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/** What a generation reports to its owner. */
public sealed interface GenerationEvent extends ComputeMessage {

    int generation();

    /** PostgreSQL ended recovery on its TLI and takes connections: the Safekeepers may attach. */
    record Accepting(int generation, WriterAddress writer) implements GenerationEvent {}

    /**
     * The managed configuration holds (role, database, guard). Together with the quorum's Following this makes the
     * generation ready.
     *
     * @param version what to give as {@link GenerationSpec#configured} from now on
     * @param phases how long each phase of the start took, in order: {@code image}, {@code wal}, {@code postgres} (exec to
     *               accepting), {@code configure}, if it had to be looked at
     */
    record Configured(int generation, int version, Map<String, Duration> phases) implements GenerationEvent {}

    /**
     * Said by a candidate every now and then.
     *
     * @param received WAL it has
     * @param replayed WAL of which it knows that it is replayed; zero before it is known
     */
    record Followed(int generation, Lsn received, Lsn replayed) implements GenerationEvent {}

    /**
     * It is ready for a HandOver, or cannot be: that takes longer then.
     *
     * @param oldestTransaction for how long a client's transaction has been running; empty if none is, or it is not known
     */
    record HandOverPrepared(int generation, Optional<Duration> oldestTransaction) implements GenerationEvent {}

    /**
     * After HandOver: two Safekeepers have all that was ever committed, and what is still written, if PostgreSQL has not ended
     * yet, counts for nobody. Or else PostgreSQL has ended.
     */
    record HandedOver(int generation) implements GenerationEvent {}

    /**
     * What the server uses. Said every second by one that serves.
     *
     * @param cpu     processor time of all its processes since it started
     * @param memory  bytes that its processes have of their own, now; {@code shared_buffers} is not among them
     * @param misses  blocks that reads have waited for since it started
     * @param evicted blocks that its cache has given back since it started
     */
    record Load(int generation, Duration cpu, long memory, long misses, long evicted) implements GenerationEvent {}

    /**
     * No process of this generation is left; nor its directory, unless it crashed while it served: that is removed a while later. The
     * last event.
     *
     * @param orderly true if the server shut down cleanly on request
     * @param reason  what happened, for {@code last_error} and the log; no secrets
     */
    record Ended(int generation, boolean orderly, String reason) implements GenerationEvent {}
}
