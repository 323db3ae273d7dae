package io.spg99.cluster.node;

import io.spg99.compute.generation.GenerationSpec;
import io.spg99.compute.generation.Recovery;
import io.spg99.compute.generation.WalProvider;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.safekeeper.WalArchive;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.safekeeper.WalSegmentFiles;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.file.Path;

/** Brings a new generation's WAL from the Safekeepers, and from the archive what they have removed. */
final class SafekeeperWal implements WalProvider {

    private final TlsIdentity identity;
    private final ObjectStore objects;

    SafekeeperWal(TlsIdentity identity, ObjectStore objects) {
        this.identity = identity;
        this.objects = objects;
    }

    @Override
    public void fetch(GenerationSpec spec, Recovery recovery, Lsn start, Path pgWal) throws IOException {
        WalFetch fetch = new WalFetch(spec.base().timeline(), identity, "generation-" + spec.generation());
        try (WalSegmentFiles files =
                new WalSegmentFiles(pgWal, recovery.history(), spec.base().segmentSize())) {
            new WalArchive(objects, spec.base().timeline(), spec.base().segmentSize())
                    .fetch(fetch, recovery.sources(), recovery.history(), start, recovery.end(), files);
        }
    }
}
