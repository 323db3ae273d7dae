package io.spg99.nodes.pageserver;

import java.time.Duration;

/**
 * @param workers          redo workers at the same time on this node
 * @param sharedBuffersMb  of each of them
 * @param redoDeadline     for one run; then it is killed, and tried again with twice that
 * @param cacheLimit       bytes of the snapshot before that one run may have on its disk before it gives back what it has not changed
 * @param walForSnapshot   bytes of WAL of a running writer after which a snapshot is worth while
 * @param mostAge          after which a running writer's WAL becomes a snapshot, if a checkpoint lets it, whatever its size
 * @param delay            before work begins: what made it due may be a start, which should not have to share the machine
 * @param bootLimit        what is due waits this long for a generation that starts
 * @param retryAfter       before a timeline's work that failed is tried again
 * @param retention        how long snapshots that are not the newest, and layers that none refers to, are kept
 */
public record PageserverSettings(
        int workers,
        int sharedBuffersMb,
        Duration redoDeadline,
        long cacheLimit,
        long walForSnapshot,
        Duration mostAge,
        Duration delay,
        Duration bootLimit,
        Duration retryAfter,
        Duration retention) {

    public PageserverSettings withWalForSnapshot(long bytes) {
        return new PageserverSettings(
                workers,
                sharedBuffersMb,
                redoDeadline,
                cacheLimit,
                bytes,
                mostAge,
                delay,
                bootLimit,
                retryAfter,
                retention);
    }

    public PageserverSettings withRetention(Duration time) {
        return new PageserverSettings(
                workers,
                sharedBuffersMb,
                redoDeadline,
                cacheLimit,
                walForSnapshot,
                mostAge,
                delay,
                bootLimit,
                retryAfter,
                time);
    }

    public PageserverSettings withRedoDeadline(Duration time) {
        return new PageserverSettings(
                workers,
                sharedBuffersMb,
                time,
                cacheLimit,
                walForSnapshot,
                mostAge,
                delay,
                bootLimit,
                retryAfter,
                retention);
    }

    public static PageserverSettings defaults() {
        return new PageserverSettings(
                2,
                64,
                Duration.ofMinutes(10),
                2L << 30,
                8L << 20,
                Duration.ofMinutes(10),
                Duration.ofMillis(1500),
                Duration.ofSeconds(30),
                Duration.ofSeconds(10),
                Duration.ofMinutes(10));
    }
}
