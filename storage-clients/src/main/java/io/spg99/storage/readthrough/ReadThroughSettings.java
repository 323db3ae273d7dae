package io.spg99.storage.readthrough;

import java.time.Duration;

/**
 * How one data directory is read through.
 *
 * @param readLimit    how long a read of PostgreSQL waits for its blocks before it fails with an I/O error (58030)
 * @param attemptLimit how long one request to the {@link BlockSource} may take
 * @param retryPause   before a failed request is made again
 * @param cacheLimit   bytes of relation files that may be local before clean blocks are evicted; what is newer than the
 *                     snapshot stays in any case
 */
public record ReadThroughSettings(Duration readLimit, Duration attemptLimit, Duration retryPause, long cacheLimit) {

    /** With limits that suit a compute, and no limit of the cache. */
    public static final ReadThroughSettings DEFAULT = new ReadThroughSettings(
            Duration.ofSeconds(30), Duration.ofSeconds(10), Duration.ofMillis(100), Long.MAX_VALUE);

    public ReadThroughSettings {
        if (readLimit.toMillis() < 1 || attemptLimit.toMillis() < 1 || retryPause.toMillis() < 1 || cacheLimit < 0) {
            throw new IllegalArgumentException("limits must be positive: readLimit=" + readLimit + " attemptLimit="
                    + attemptLimit + " retryPause=" + retryPause + " cacheLimit=" + cacheLimit);
        }
    }

    public ReadThroughSettings withCacheLimit(long bytes) {
        return new ReadThroughSettings(readLimit, attemptLimit, retryPause, bytes);
    }
}
