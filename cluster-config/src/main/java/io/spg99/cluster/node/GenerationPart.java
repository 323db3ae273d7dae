package io.spg99.cluster.node;

import com.typesafe.config.Config;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.spg99.cluster.pki.PlatformPki;
import io.spg99.compute.generation.ComputeNode;
import io.spg99.compute.generation.GenerationHost;
import io.spg99.compute.image.BaseImages;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.tls.TlsIdentity;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.actor.typed.Behavior;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** PostgreSQL servers of Database actors that are on other nodes, in a process of its own. */
final class GenerationPart implements PartNode.Part {

    private static final Logger LOG = LoggerFactory.getLogger(GenerationPart.class);

    private static final Duration REMOVE_LIMIT = Duration.ofSeconds(5);

    private final ExecutorService blocking = Node.blockingThreads();

    /** Closed in this order. */
    private final List<AutoCloseable> resources = new ArrayList<>();

    private final ComputeNode compute;

    private GenerationPart(GenerationNodeSettings settings) throws IOException {
        Config config = Membership.config(settings.member());
        if (ObjectStorage.isLocal(config) && !Files.isDirectory(settings.objects())) {
            throw new IOException("there is no object storage in " + settings.objects()
                    + ": name the directory objects in the data directory of dev with --objects DIR");
        }
        Path postgres = settings.directory();
        OsUser user = OsUser.forPostgres();
        PostgresBinaries binaries = PostgresBinaries.unpack(postgres.resolve("binaries"));
        ObjectStore objects = ObjectStorage.open(config, settings.objects());
        BaseImages images = new BaseImages(binaries, user, objects, postgres.resolve("images"));
        resources.add(images);
        if (objects instanceof AutoCloseable closeable) {
            resources.add(closeable);
        }
        compute = Computes.open(
                config,
                binaries,
                user,
                objects,
                images,
                postgres,
                PlatformPki.open(settings.pki(), Clock.systemUTC()).internal(TlsIdentity.COMPUTE),
                blocking,
                // Nobody asks this process for metrics.
                new PrometheusMeterRegistry(PrometheusConfig.DEFAULT),
                resources);
        // What every start needs is local before it is said that this is ready.
        images.ensure();
    }

    static GenerationPart open(GenerationNodeSettings settings) throws IOException {
        return new GenerationPart(settings);
    }

    @Override
    public String name() {
        return "Generation node";
    }

    @Override
    public Behavior<?> begin() {
        return GenerationHost.create(compute);
    }

    @Override
    public void close() {
        blocking.shutdown();
        try {
            // Generations whose actors were stopped are being removed.
            if (!blocking.awaitTermination(REMOVE_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
                LOG.warn("something of a generation may be left");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        for (AutoCloseable resource : resources) {
            try {
                resource.close();
            } catch (Exception e) {
                LOG.warn("could not be closed: {}", resource, e);
            }
        }
    }
}
