package io.spg99.storage.quorum;

import java.time.Duration;

/**
 * Times of the WAL quorum.
 *
 * @param deadline      every request is answered within this time
 * @param firstRetry    first wait for a Safekeeper's answer before asking again; doubles up to {@code lastRetry}
 * @param lastRetry     longest wait before asking again
 * @param thirdWait     how long a decision waits for the third promise when the first two differ
 * @param watchInterval how often Safekeepers are looked after while a writer is followed
 */
public record WalQuorumSettings(
        Duration deadline, Duration firstRetry, Duration lastRetry, Duration thirdWait, Duration watchInterval) {

    public static final WalQuorumSettings DEFAULT = new WalQuorumSettings(
            Duration.ofSeconds(10),
            Duration.ofMillis(200),
            Duration.ofSeconds(2),
            Duration.ofMillis(20),
            Duration.ofSeconds(1));
}
