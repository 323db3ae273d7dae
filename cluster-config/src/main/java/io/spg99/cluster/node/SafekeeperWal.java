package io.spg99.cluster.node;

import io.spg99.compute.generation.GenerationSpec;
import io.spg99.compute.generation.Recovery;
import io.spg99.compute.generation.WalProvider;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.safekeeper.WalSegmentFiles;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.file.Path;

/** Brings WAL from the Safekeepers: what a generation starts from, and what a running writer adds. */
final class SafekeeperWal implements WalProvider {

    private final TlsIdentity identity;

    SafekeeperWal(TlsIdentity identity) {
        this.identity = identity;
    }

    @Override
    public void fetch(GenerationSpec spec, Recovery recovery, Lsn start, Path pgWal) throws IOException {
        WalFetch fetch = new WalFetch(spec.base().timeline(), identity, "generation-" + spec.generation());
        try (WalSegmentFiles files =
                new WalSegmentFiles(pgWal, recovery.history(), spec.base().segmentSize())) {
            fetch.fetch(recovery.sources(), recovery.history(), start, recovery.end(), files);
        }
    }

    @Override
    public Following follow(GenerationSpec spec, Recovery recovery, Path pgWal) {
        return WalFollow.start(spec, recovery, pgWal, identity);
    }
}
