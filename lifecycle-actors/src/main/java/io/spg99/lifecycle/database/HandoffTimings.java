package io.spg99.lifecycle.database;

import com.typesafe.config.Config;
import java.time.Duration;

/**
 * Durations and counts of a handoff; see {@code spg99.lifecycle.handoff} in reference.conf.
 *
 * @param prepareLimit       for a candidate to catch up with the writer
 * @param lagLimitBytes      WAL that a candidate may lack when its time comes
 * @param answerLimit        for the writer to get ready to be frozen; one that takes longer is taken to hang
 * @param longestTransaction a transaction that has run longer than this puts the freeze off
 * @param drainLimit         how long clients wait for those that are still at work before everything goes on
 * @param freezeLimit        for everything from the freeze to the switch; Gateways go on by themselves after it
 * @param stopLimit          for the old writer's orderly stop; then it is killed
 * @param switchLimit        from the old writer's end to the candidate being ready
 * @param retryMin           wait after the first freeze, or candidate, that came to nothing; doubles with each further one
 * @param retryMax           longest such wait
 * @param maxFailures        candidates in a row that failed before a person must look
 * @param cooldown           time after a switch in which nothing moves
 */
public record HandoffTimings(
        Duration prepareLimit,
        long lagLimitBytes,
        Duration answerLimit,
        Duration longestTransaction,
        Duration drainLimit,
        Duration freezeLimit,
        Duration stopLimit,
        Duration switchLimit,
        Duration retryMin,
        Duration retryMax,
        int maxFailures,
        Duration cooldown) {

    /** Reads {@code spg99.lifecycle.handoff}. */
    public static HandoffTimings from(Config root) {
        Config config = root.getConfig("spg99.lifecycle.handoff");
        return new HandoffTimings(
                config.getDuration("prepare-limit"),
                config.getBytes("lag-limit"),
                config.getDuration("answer-limit"),
                config.getDuration("longest-transaction"),
                config.getDuration("drain-limit"),
                config.getDuration("freeze-limit"),
                config.getDuration("stop-limit"),
                config.getDuration("switch-limit"),
                config.getDuration("retry-min"),
                config.getDuration("retry-max"),
                config.getInt("max-failures"),
                config.getDuration("cooldown"));
    }

    /** Wait after {@code tries} tries in a row, the first being 1. */
    Duration retry(int tries) {
        int doublings = Math.clamp(tries - 1L, 0, 30);
        Duration wait = retryMin.multipliedBy(1L << doublings);
        return wait.compareTo(retryMax) < 0 ? wait : retryMax;
    }
}
