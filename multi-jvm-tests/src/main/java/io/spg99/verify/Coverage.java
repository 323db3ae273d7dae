package io.spg99.verify;

import java.util.EnumMap;
import java.util.Locale;
import java.util.Map;

/** How often the simulation was in the states that matter. */
final class Coverage {

    enum Visited {
        COMMITS_ACKNOWLEDGED,
        GENERATIONS_PREPARED,
        GENERATIONS_READY,
        /** A Prepare that another one was faster than. */
        GENERATIONS_SUPERSEDED,
        /** Generations whose owner tried while another owner did. */
        COMPETING_GENERATIONS,
        WRITERS_THAT_OUTLIVED_THEIR_OWNER,
        PROMISES,
        REFUSALS,
        PEER_RECOVERIES,
        /** The connection ended before the Safekeeper that gave WAL had said all. */
        PEER_RECOVERIES_BROKEN_OFF,
        FILLED_FROM_PEER_INSTEAD_OF_WRITER,
        UNFOLLOWABLE_WRITERS_REPLACED,
        DIVERGENT_TAILS_CUT,
        SAFEKEEPER_PROCESSES_KILLED,
        SAFEKEEPER_MACHINES_CRASHED,
        /** With something written that no sync had covered. */
        CRASHES_BETWEEN_WRITE_AND_SYNC,
        /** Of what was not synced a part was on the disk afterwards. */
        TORN_TAILS,
        CRASHES_IN_RECOVERY,
        FAILED_SYNCS,
        FULL_DISKS,
        /** A Safekeeper held as much WAL as it may, and took no more. */
        REPORTS_OF_FULL_SAFEKEEPERS,
        /** So did so many that commits waited for a snapshot. */
        WAITS_FOR_A_SNAPSHOT,
        DISKS_LOST,
        DISKS_RESTORED,
        OWNERS_CRASHED,
        WRITERS_CRASHED,
        ORDERLY_STOPS,
        PARTITIONS,
        CONNECTIONS_RESET,
        MESSAGES_LOST,
        MESSAGES_DUPLICATED,
        MESSAGES_OVERTAKEN,
        CONNECTIONS_WHILE_THE_FORMER_WAS_HALF_OPEN,
        SEGMENTS_COMPLETED,
        SNAPSHOTS_PUBLISHED,
        SEGMENTS_REMOVED,
        /** What the generation wrote that was not over yet. */
        SEGMENTS_OF_THE_RUNNING_GENERATION_REMOVED,
        /** The power went before the removal itself was on the disk. */
        REMOVED_SEGMENTS_BACK,
        /** A Safekeeper lacked what the others had removed. */
        LOGS_BEGUN_AT_THE_HORIZON,
        READS_AT_THE_QUORUM_POSITION,
        CRASH_PROBES
    }

    private final Map<Visited, Long> counts = new EnumMap<>(Visited.class);

    void count(Visited what) {
        counts.merge(what, 1L, Long::sum);
    }

    void addAll(Coverage other) {
        other.counts.forEach((what, count) -> counts.merge(what, count, Long::sum));
    }

    long of(Visited what) {
        return counts.getOrDefault(what, 0L);
    }

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        for (Visited what : Visited.values()) {
            text.append("  %-40s %,12d%n"
                    .formatted(what.name().toLowerCase(Locale.ROOT).replace('_', ' '), of(what)));
        }
        return text.toString();
    }
}
