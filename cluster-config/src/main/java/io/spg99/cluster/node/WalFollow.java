package io.spg99.cluster.node;

import io.spg99.compute.generation.GenerationSpec;
import io.spg99.compute.generation.Recovery;
import io.spg99.compute.generation.WalProvider;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.safekeeper.WalSegmentFiles;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Writes a running writer's WAL into a candidate's pg_wal as the Safekeepers serve it: up to the quorum position, hence nothing
 * that a later generation's history could lack. A thread of its own, for it waits for most of its life.
 */
final class WalFollow implements WalProvider.Following {

    private static final Logger LOG = LoggerFactory.getLogger(WalFollow.class);

    /** Before Safekeepers that had nothing more to say are asked again. */
    private static final Duration PAUSE = Duration.ofMillis(200);

    private static final Duration STOP_LIMIT = Duration.ofSeconds(2);

    /** Further than any WAL goes. */
    private static final Lsn NEVER = new Lsn(Long.MAX_VALUE);

    private final GenerationSpec spec;
    private final Recovery recovery;
    private final Path pgWal;
    private final TlsIdentity identity;
    private final CountDownLatch stopped = new CountDownLatch(1);
    private final Thread thread;

    private volatile Lsn received;
    private volatile Optional<String> failure = Optional.empty();
    private volatile @Nullable WalFetch current;

    private WalFollow(GenerationSpec spec, Recovery recovery, Path pgWal, TlsIdentity identity) {
        this.spec = spec;
        this.recovery = recovery;
        this.pgWal = pgWal;
        this.identity = identity;
        this.received = recovery.end();
        this.thread =
                Thread.ofPlatform().name("follow-" + spec.generation()).daemon().unstarted(this::run);
    }

    static WalFollow start(GenerationSpec spec, Recovery recovery, Path pgWal, TlsIdentity identity) {
        WalFollow follow = new WalFollow(spec, recovery, pgWal, identity);
        follow.thread.start();
        return follow;
    }

    @Override
    public Lsn received() {
        return received;
    }

    @Override
    public Optional<String> failure() {
        return failure;
    }

    @Override
    public Lsn stop() {
        stopped.countDown();
        WalFetch fetch = current;
        if (fetch != null) {
            fetch.cancel();
        }
        try {
            if (!thread.join(STOP_LIMIT)) {
                throw new IllegalStateException("WAL still comes in: generation=" + spec.generation());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while WAL was coming in", e);
        }
        return received;
    }

    private boolean isStopped() {
        return stopped.getCount() == 0;
    }

    private void run() {
        try (WalSegmentFiles files =
                new WalSegmentFiles(pgWal, recovery.history(), spec.base().segmentSize())) {
            while (!isStopped()) {
                round(files);
                if (stopped.await(PAUSE.toMillis(), TimeUnit.MILLISECONDS)) {
                    return;
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (IOException e) {
            failure = Optional.of("WAL cannot be written: received=" + received + " reason=" + e.getMessage());
        }
    }

    private void round(WalSegmentFiles files) throws IOException {
        WalFetch fetch = new WalFetch(spec.base().timeline(), identity, "candidate-" + spec.generation());
        current = fetch;
        if (isStopped()) {
            return;
        }
        try {
            fetch.fetch(recovery.sources(), recovery.history(), received, NEVER, (at, bytes) -> take(files, at, bytes));
        } catch (ReplicationException e) {
            LOG.debug("timeline={} nothing more now: {}", spec.base().timeline(), e.getMessage());
        }
    }

    private void take(WalSegmentFiles files, Lsn at, ByteBuffer bytes) throws IOException {
        int length = bytes.remaining();
        files.accept(at, bytes);
        received = at.plus(length);
    }
}
