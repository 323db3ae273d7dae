package io.spg99.lifecycle.database;

import com.typesafe.config.Config;
import java.time.Duration;

/**
 * The durations and counts by which a Database actor lives; see {@code spg99.lifecycle.database} in reference.conf.
 *
 * @param bootDeadline     from the promise's request to ready, for one attempt
 * @param prepareTimeout   for the quorum's answer to Prepare, Create and Delete
 * @param backOffMin       wait after the first failed attempt; doubles with each further one
 * @param backOffMax       longest such wait
 * @param maxFailures      failed attempts in a row after which a database is in {@code error}
 * @param errorPause       time in {@code error} during which clients are refused without another attempt
 * @param stopDeadline     for an orderly stop, before the writer is killed
 * @param killDeadline     for a kill, before the generation's actor is stopped
 * @param leaveDeadline    for an orderly stop when the actor itself has to go
 * @param shortLife        a writer lost sooner than this after ready is replaced after a back-off only
 * @param passivateAfter   time asleep after which the actor leaves memory
 * @param activityTimeout  for the answers of pools and quorum to Describe and Delete
 * @param snapshotEvery    events between two snapshots of the actor's state
 */
public record DatabaseTimings(
        Duration bootDeadline,
        Duration prepareTimeout,
        Duration backOffMin,
        Duration backOffMax,
        int maxFailures,
        Duration errorPause,
        Duration stopDeadline,
        Duration killDeadline,
        Duration leaveDeadline,
        Duration shortLife,
        Duration passivateAfter,
        Duration activityTimeout,
        int snapshotEvery) {

    /** Reads {@code spg99.lifecycle.database}. */
    public static DatabaseTimings from(Config root) {
        Config config = root.getConfig("spg99.lifecycle.database");
        return new DatabaseTimings(
                config.getDuration("boot-deadline"),
                config.getDuration("prepare-timeout"),
                config.getDuration("back-off-min"),
                config.getDuration("back-off-max"),
                config.getInt("max-failures"),
                config.getDuration("error-pause"),
                config.getDuration("stop-deadline"),
                config.getDuration("kill-deadline"),
                config.getDuration("leave-deadline"),
                config.getDuration("short-life"),
                config.getDuration("passivate-after"),
                config.getDuration("activity-timeout"),
                config.getInt("snapshot-every"));
    }

    /** Wait after {@code failures} failed attempts in a row, the first being 1. */
    Duration backOff(int failures) {
        int doublings = Math.clamp(failures - 1L, 0, 30);
        Duration wait = backOffMin.multipliedBy(1L << doublings);
        return wait.compareTo(backOffMax) < 0 ? wait : backOffMax;
    }
}
