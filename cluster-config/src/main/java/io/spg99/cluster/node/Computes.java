package io.spg99.cluster.node;

import com.typesafe.config.Config;
import io.micrometer.core.instrument.MeterRegistry;
import io.spg99.compute.generation.ComputeNode;
import io.spg99.compute.generation.ComputeSettings;
import io.spg99.compute.generation.Profile;
import io.spg99.compute.image.BaseImages;
import io.spg99.compute.image.ReadThroughCaches;
import io.spg99.compute.image.SnapshotFiles;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.readthrough.ReadThroughSettings;
import io.spg99.storage.tls.TlsIdentity;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Clock;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Executor;

/** What a node needs to run generations. */
final class Computes {

    private Computes() {}

    /**
     * Everything that an earlier run of the program left is gone afterwards. Blocks.
     *
     * @param postgres  directory for what PostgreSQL touches
     * @param resources what is to be closed is added at the front
     */
    static ComputeNode open(
            Config config,
            PostgresBinaries binaries,
            OsUser user,
            ObjectStore objects,
            BaseImages images,
            Path postgres,
            TlsIdentity identity,
            Executor blocking,
            MeterRegistry meters,
            List<AutoCloseable> resources)
            throws IOException {
        Path run = postgres.resolve("run");
        Optional<ReadThroughCaches> caches = ReadThroughCaches.open(
                binaries.home().resolveSibling("native"),
                run.resolve(".readthrough"),
                user,
                ReadThroughSettings.DEFAULT,
                meters);
        caches.ifPresent(running -> resources.addFirst(running));
        ComputeNode compute = new ComputeNode(
                binaries,
                user,
                new SnapshotFiles(images, objects, user, caches),
                run,
                identity,
                new SafekeeperWal(identity, objects),
                blocking,
                Clock.systemUTC(),
                ComputeSettings.withSpare(Profile.named("L1", config)));
        resources.addFirst(compute);
        compute.sweep();
        return compute;
    }
}
