package io.spg99.storage.snapshot;

import io.spg99.storage.postgres.PgWalDirectory;
import io.spg99.storage.readthrough.BlockRange;
import io.spg99.storage.readthrough.ReadThrough;
import io.spg99.storage.readthrough.RelationFile;
import io.spg99.storage.readthrough.WalBlocks;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.Executor;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Fetches what recovery will read, before PostgreSQL asks: the WAL says which blocks these are. PostgreSQL itself looks ahead a few hundred
 * blocks, in the order of the WAL, which is any order to the layers: so all eight blocks that are compressed together would have to be
 * written for the sake of one, or be decompressed again for each.
 */
public final class RecoveryReadAhead {

    private static final Logger LOG = LoggerFactory.getLogger(RecoveryReadAhead.class);

    /** Less WAL than this is sooner replayed than looked at: bytes. */
    private static final long LITTLE = 128 << 10;

    private RecoveryReadAhead() {}

    /**
     * Does not block. What cannot be had is fetched when PostgreSQL reads it.
     *
     * @param snapshot what {@code agent} reads
     * @param wal      where recovery finds it; where a file of it is gone meanwhile, that is all
     * @param redo     where recovery begins
     * @param most     bytes to be fetched
     * @param blocking runs what blocks
     */
    public static void start(
            SnapshotReader snapshot, ReadThrough agent, PgWalDirectory wal, Lsn redo, long most, Executor blocking) {
        if (wal.end().minus(redo) > LITTLE) {
            blocking.execute(() -> run(snapshot, agent, wal, redo, most));
        }
    }

    private static void run(SnapshotReader snapshot, ReadThrough agent, PgWalDirectory wal, Lsn redo, long most) {
        try {
            List<BlockRange> blocks = snapshot.inOrder(WalBlocks.read(wal, redo));
            long bounded = Math.min(blocks.size(), most / RelationFile.BLOCK);
            agent.foresee(blocks.subList(0, (int) bounded)).exceptionally(e -> {
                LOG.debug("what recovery reads could not be fetched ahead: directory={}", wal.directory(), e);
                return null;
            });
        } catch (IOException e) {
            LOG.debug("WAL cannot be read ahead: directory={}", wal.directory(), e);
        }
    }
}
