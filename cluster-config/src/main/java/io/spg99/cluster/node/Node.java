package io.spg99.cluster.node;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.spg99.cluster.pki.PlatformPki;
import io.spg99.compute.generation.ComputeGeneration;
import io.spg99.compute.generation.ComputeNode;
import io.spg99.compute.generation.Placement;
import io.spg99.compute.image.BaseImages;
import io.spg99.gateway.pool.ConnectionPools;
import io.spg99.gateway.pool.PoolsSettings;
import io.spg99.gateway.server.GatewayServer;
import io.spg99.gateway.server.GatewaySettings;
import io.spg99.lifecycle.autoscale.AutoscalerSettings;
import io.spg99.lifecycle.catalog.Catalog;
import io.spg99.lifecycle.catalog.CatalogSettings;
import io.spg99.lifecycle.catalog.MasterKey;
import io.spg99.lifecycle.catalog.Reconciler;
import io.spg99.lifecycle.catalog.Secrets;
import io.spg99.lifecycle.database.ColdStarts;
import io.spg99.lifecycle.database.DatabaseServices;
import io.spg99.lifecycle.database.DatabaseTimings;
import io.spg99.lifecycle.database.HandoffMetrics;
import io.spg99.lifecycle.database.HandoffTimings;
import io.spg99.lifecycle.database.ShardedDatabases;
import io.spg99.lifecycle.http.ApiServices;
import io.spg99.lifecycle.http.ApiSettings;
import io.spg99.lifecycle.http.Health;
import io.spg99.lifecycle.http.HttpApi;
import io.spg99.lifecycle.model.Profile;
import io.spg99.nodes.pageserver.Pageserver;
import io.spg99.nodes.pageserver.PageserverSettings;
import io.spg99.nodes.pageserver.RedoWorker;
import io.spg99.nodes.safekeeper.Safekeeper;
import io.spg99.nodes.safekeeper.SafekeeperSettings;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.pageserver.PageserverCommand;
import io.spg99.storage.pageserver.PageserverReply;
import io.spg99.storage.pageserver.ReceptionistPageservers;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.quorum.WalQuorum;
import io.spg99.storage.quorum.WalQuorumSettings;
import io.spg99.storage.readthrough.ReadThroughLibrary;
import io.spg99.storage.safekeeper.ReceptionistSafekeepers;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.security.SecureRandom;
import java.sql.SQLException;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.apache.pekko.actor.CoordinatedShutdown;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.Props;
import org.apache.pekko.actor.typed.javadsl.AskPattern;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.cluster.MemberStatus;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.http.javadsl.ServerBinding;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One member of the platform: an ActorSystem with the parts that its roles ask for. Methods here block; nothing of this
 * runs on an actor.
 */
public final class Node {

    private static final Logger LOG = LoggerFactory.getLogger(Node.class);

    private static final Duration JOIN_LIMIT = Duration.ofSeconds(60);

    /** For clients to be sent away, of which those that do not go are cut. */
    private static final Duration GATEWAY_STOP_LIMIT = Duration.ofSeconds(1);

    private static final Duration CLIENTS_STOP_LIMIT = Duration.ofMillis(1500);

    /** What the end of the actors leaves to what they stand on. */
    private static final Duration RESOURCES_STOP_SHARE = Duration.ofMillis(500);

    /** When a start fails. */
    private static final Duration STOP_LIMIT = Duration.ofSeconds(9);

    private static final Duration LEASE_TTL = Duration.ofSeconds(15);
    private static final Duration HEALTH_INTERVAL = Duration.ofSeconds(5);

    /** For the end of a redo worker that is at work on what is being deleted. */
    private static final Duration FORGET_LIMIT = Duration.ofSeconds(10);

    private static final Duration RECONCILE_INTERVAL = Duration.ofMinutes(1);

    /** Gateways that one database keeps track of; a cluster has a few. */
    private static final int MAX_GATEWAYS = 1000;

    /** Blocking steps of starting and stopping computes: mostly copying and waiting. */
    private static final int BLOCKING_THREADS = 32;

    private static final int BLOCKING_QUEUE = 10_000;

    private final NodeSettings settings;
    private final ActorSystem<Void> system;
    private final PrometheusMeterRegistry meters = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    private final ReceptionistSafekeepers safekeepers = new ReceptionistSafekeepers();
    private final ReceptionistPageservers pageservers = new ReceptionistPageservers();
    private final ExecutorService blocking = blockingThreads();
    /** What {@link #stop} closes, in this order, when the actors are gone. */
    private final List<AutoCloseable> resources = new ArrayList<>();

    /** Completes when two Safekeepers have been reachable. */
    private final CompletableFuture<Void> quorum = new CompletableFuture<>();

    private @Nullable GatewayServer gateway;
    private @Nullable ServerBinding api;
    private volatile boolean catalogAnswers;

    private Node(NodeSettings settings, ActorSystem<Void> system) {
        this.settings = settings;
        this.system = system;
    }

    /**
     * Starts a node and returns when it does its work.
     *
     * @param binaries PostgreSQL's programs, once they are unpacked
     * @param journal  completes when the journal's PostgreSQL serves
     * @throws CompletionException if a part does not start; what had started is stopped again
     */
    public static Node start(
            NodeSettings settings,
            PlatformPki pki,
            CompletableFuture<PostgresBinaries> binaries,
            OsUser user,
            CompletableFuture<?> journal) {
        ActorSystem<Void> system = Membership.begin(settings.member(), Behaviors.empty(), config(settings));
        Node node = new Node(settings, system);
        try {
            node.startParts(pki, binaries, user, journal);
            return node;
        } catch (IOException | SQLException | RuntimeException e) {
            node.stop(Deadline.in(STOP_LIMIT));
            throw e instanceof CompletionException completion ? completion : new CompletionException(e);
        }
    }

    private static Map<String, Object> config(NodeSettings settings) {
        String database = "pekko-persistence-jdbc.shared-databases.slick.db.";
        return Map.of(
                "spg99.lifecycle.default-idle-timeout",
                settings.idleTimeout(),
                database + "url",
                settings.journal().jdbcUrl(),
                database + "user",
                settings.journal().user(),
                database + "password",
                settings.journal().password());
    }

    private void startParts(
            PlatformPki pki, CompletableFuture<PostgresBinaries> binaries, OsUser user, CompletableFuture<?> journal)
            throws IOException, SQLException {
        system.systemActorOf(safekeepers.follow(this::onSafekeepers), "safekeeper-directory", Props.empty());
        system.systemActorOf(pageservers.follow(), "pageserver-directory", Props.empty());
        if (settings.has(Role.SAFEKEEPER)) {
            startSafekeepers(pki);
        }
        PostgresBinaries unpacked = binaries.join();
        Storage storage = openStorage(unpacked, user);
        journal.join();
        Catalog catalog = openCatalog();
        ShardedDatabases databases = settings.has(Role.COMPUTE)
                ? ShardedDatabases.host(system, computeServices(pki, storage, catalog))
                : ShardedDatabases.proxy(system);
        if (settings.has(Role.PAGESERVER)) {
            startPageserver(pki, storage);
        }
        awaitUp();
        if (settings.has(Role.GATEWAY)) {
            gateway = GatewayServer.start(system, gatewaySettings(pki), catalog.directory(), databases, meters)
                    .toCompletableFuture()
                    .join();
        }
        if (settings.has(Role.CONTROL)) {
            startControl(catalog, databases);
        }
    }

    private void awaitUp() {
        CompletableFuture<Void> up = new CompletableFuture<>();
        org.apache.pekko.cluster.Cluster.get(system).registerOnMemberUp(() -> up.complete(null));
        up.orTimeout(JOIN_LIMIT.toSeconds(), TimeUnit.SECONDS).join();
    }

    private void startSafekeepers(PlatformPki pki) throws IOException {
        TlsIdentity identity = pki.internal(TlsIdentity.SAFEKEEPER);
        for (String word : settings.safekeepers()) {
            SafekeeperId id = new SafekeeperId(word);
            SafekeeperSettings safekeeper = new SafekeeperSettings(
                    id,
                    settings.data().resolve("safekeepers").resolve(word),
                    settings.member().host(),
                    0,
                    identity,
                    system.settings().config().getBytes(SafekeeperSettings.MAX_WAL));
            system.systemActorOf(Safekeeper.create(safekeeper), "safekeeper-" + word, Props.empty());
        }
    }

    private Catalog openCatalog() throws SQLException {
        SecureRandom random = new SecureRandom();
        NodeSettings.Journal journal = settings.journal();
        Catalog catalog = Catalog.open(
                CatalogSettings.from(system.settings().config(), journal.jdbcUrl(), journal.user(), journal.password()),
                new MasterKey(settings.masterKey(), random),
                random,
                Clock.systemUTC());
        resources.add(catalog);
        return catalog;
    }

    /**
     * What computes and the Pageserver of one node share.
     *
     * @param image the image that new timelines begin with, once it is there
     */
    private record Storage(
            PostgresBinaries binaries,
            OsUser user,
            ObjectStore objects,
            BaseImages images,
            CompletableFuture<String> image) {}

    private Storage openStorage(PostgresBinaries binaries, OsUser user) throws IOException {
        ObjectStore objects =
                ObjectStorage.open(system.settings().config(), settings.data().resolve("objects"));
        if (objects instanceof AutoCloseable closeable) {
            resources.add(closeable);
        }
        BaseImages images =
                new BaseImages(binaries, user, objects, settings.postgres().resolve("images"));
        resources.add(images);
        // Made while the rest starts: the first database would wait for it.
        CompletableFuture<String> image = settings.has(Role.COMPUTE)
                ? CompletableFuture.supplyAsync(() -> ensureImage(images), blocking)
                : new CompletableFuture<>();
        return new Storage(binaries, user, objects, images, image);
    }

    private void startPageserver(PlatformPki pki, Storage storage) throws IOException {
        PageserverSettings pageserver = PageserverSettings.defaults()
                .withWalForSnapshot(system.settings().config().getBytes("spg99.pageserver.wal-for-snapshot"))
                .withRedoDeadline(system.settings().config().getDuration("spg99.pageserver.redo-deadline"))
                .withRetention(system.settings().config().getDuration("spg99.pageserver.retention"));
        RedoWorker worker = RedoWorker.open(
                storage.binaries(),
                storage.user(),
                new ImageFiles(storage.images()),
                storage.objects(),
                pki.internal(TlsIdentity.PAGESERVER),
                ReadThroughLibrary.install(storage.binaries().home().resolveSibling("native")),
                settings.postgres().resolve("redo"),
                pageserver,
                Clock.systemUTC());
        system.systemActorOf(Pageserver.create(pageserver, worker, Clock.systemUTC()), "pageserver", Props.empty());
    }

    private DatabaseServices computeServices(PlatformPki pki, Storage storage, Catalog catalog) throws IOException {
        Config config = system.settings().config();
        Map<Profile, io.spg99.compute.generation.Profile> profiles = Arrays.stream(Profile.values())
                .collect(Collectors.toMap(
                        Function.identity(),
                        profile -> io.spg99.compute.generation.Profile.named(profile.name(), config)));
        BaseImages images = storage.images();
        ComputeNode compute = Computes.open(
                config,
                storage.binaries(),
                storage.user(),
                storage.objects(),
                images,
                settings.postgres(),
                pki.internal(TlsIdentity.COMPUTE),
                blocking,
                meters,
                resources);
        Placement placement = new Placement((spec, owner) -> ComputeGeneration.create(spec, compute, owner));
        system.systemActorOf(placement.follow(), "placement", Props.empty());
        storage.image().thenAccept(compute::warmUp);
        return new DatabaseServices(
                base -> WalQuorum.create(base, safekeepers, WalQuorumSettings.DEFAULT),
                placement,
                owner -> ConnectionPools.create(
                        owner, new PoolsSettings(LEASE_TTL, Duration.ZERO, MAX_GATEWAYS, 1), Clock.systemUTC()),
                new ImageTimelines(images, storage.objects(), this::forgetTimeline, blocking),
                pageservers,
                catalog.databases(),
                new ColdStarts(meters),
                new HandoffMetrics(meters),
                profile -> Objects.requireNonNull(profiles.get(profile)),
                compute.enforcesLimits(),
                settings.name(),
                DatabaseTimings.from(config),
                HandoffTimings.from(config),
                AutoscalerSettings.from(config),
                Clock.systemUTC());
    }

    /** Best effort: without its Pageserver a timeline's objects are deleted all the same. */
    private CompletionStage<?> forgetTimeline(TimelineId timeline) {
        return pageservers
                .of(timeline)
                .<CompletionStage<?>>map(pageserver -> AskPattern.<PageserverCommand, PageserverReply>ask(
                                pageserver,
                                replyTo -> new PageserverCommand.Forget(timeline, replyTo),
                                FORGET_LIMIT,
                                system.scheduler())
                        .exceptionally(failure -> {
                            LOG.warn("timeline={} its Pageserver does not answer: {}", timeline, failure.toString());
                            return new PageserverReply.Forgotten(timeline);
                        }))
                .orElseGet(() -> CompletableFuture.completedStage(null));
    }

    private static String ensureImage(BaseImages images) {
        try {
            return images.ensure();
        } catch (IOException e) {
            // Whoever needs it tries again and reports the failure where it matters.
            LOG.warn("the base image could not be made: {}", e.getMessage());
            throw new CompletionException(e);
        }
    }

    private GatewaySettings gatewaySettings(PlatformPki pki) throws IOException {
        TlsIdentity server = pki.gatewayServer(List.of(settings.member().host()));
        TlsIdentity client = pki.internal(TlsIdentity.GATEWAY);
        Map<String, Object> own = Map.of(
                "host", settings.member().host(),
                "port", settings.gatewayPort(),
                "tls.server-certificate", server.certificate().toString(),
                "tls.server-key", server.key().toString(),
                "tls.client-certificate", client.certificate().toString(),
                "tls.client-key", client.key().toString(),
                "tls.backend-ca", client.ca().toString(),
                "tls.backend-name", TlsIdentity.SERVER_NAME);
        return GatewaySettings.from(ConfigFactory.parseMap(own)
                .withFallback(system.settings().config().getConfig("spg99.gateway")));
    }

    private void startControl(Catalog catalog, ShardedDatabases databases) {
        catalog.apiKeys()
                .ensure("bootstrap", settings.apiKey())
                .toCompletableFuture()
                .join();
        checkCatalog(catalog);
        system.scheduler()
                .scheduleWithFixedDelay(
                        HEALTH_INTERVAL, HEALTH_INTERVAL, () -> checkCatalog(catalog), system.executionContext());
        String gatewayAddress = settings.member().host() + ":" + settings.gatewayPort();
        api = HttpApi.start(
                        system,
                        ApiSettings.from(
                                system.settings().config(), settings.member().host(), settings.httpPort()),
                        new ApiServices(
                                catalog,
                                databases,
                                new Secrets(new SecureRandom()),
                                this::health,
                                meters,
                                () -> gatewayAddress))
                .toCompletableFuture()
                .join();
        new Reconciler(catalog, databases).keepRunning(system, RECONCILE_INTERVAL);
    }

    private void checkCatalog(Catalog catalog) {
        catalog.ping().whenComplete((done, failure) -> catalogAnswers = failure == null);
    }

    private SortedMap<String, Health.RoleHealth> health() {
        boolean up = Cluster.get(system).selfMember().status().equals(MemberStatus.up());
        String member = up ? "member of the cluster" : "not a member of the cluster yet";
        SortedMap<String, Health.RoleHealth> roles = new TreeMap<>();
        for (Role role : Role.values()) {
            // The Safekeepers are everybody's, wherever they run.
            if (!settings.has(role) && role != Role.SAFEKEEPER) {
                continue;
            }
            roles.put(
                    role.word(),
                    switch (role) {
                        case CONTROL ->
                            new Health.RoleHealth(
                                    true,
                                    catalogAnswers,
                                    catalogAnswers ? "the catalog answers" : "the catalog is silent");
                        case COMPUTE, GATEWAY, PAGESERVER, GENERATION -> new Health.RoleHealth(true, up, member);
                        case SAFEKEEPER -> {
                            int reachable = safekeepers.reachable().size();
                            yield new Health.RoleHealth(
                                    true,
                                    reachable >= SafekeeperId.QUORUM,
                                    reachable + " of " + SafekeeperId.ALL.size() + " Safekeepers reachable");
                        }
                    });
        }
        return roles;
    }

    private void onSafekeepers(Set<SafekeeperId> reachable) {
        LOG.info("reachable safekeepers: {}", reachable);
        if (reachable.size() >= SafekeeperId.QUORUM) {
            quorum.complete(null);
        }
    }

    /** Completes when two Safekeepers can be reached for the first time: no database can be made or wake before. */
    public CompletionStage<Void> quorum() {
        return quorum.minimalCompletionStage();
    }

    /** Completes when the ActorSystem has ended: after {@link #stop}, or when the cluster has excluded this node. */
    public CompletionStage<?> ended() {
        return system.getWhenTerminated();
    }

    /** Runs {@code stop} when the JVM is told to end; it must call {@link #stop} before it returns. */
    public void onJvmShutdown(Runnable stop) {
        Membership.onJvmShutdown(system, stop);
    }

    /**
     * Stops in order: clients first, then the writers, then what they stand on. What does not stop in its time is left behind;
     * returns by {@code deadline}.
     */
    public void stop(Deadline deadline) {
        Deadline clientsGone = deadline.atMost(CLIENTS_STOP_LIMIT);
        CompletionStage<?> sessions = gateway == null ? null : gateway.stop(GATEWAY_STOP_LIMIT);
        CompletionStage<?> requests = api == null ? null : api.terminate(Duration.ofMillis(500));
        quietly("gateway", sessions, clientsGone);
        quietly("HTTP API", requests, clientsGone);
        quietly(
                "actors",
                CoordinatedShutdown.get(system).runAll(CoordinatedShutdown.jvmExitReason()),
                deadline.before(RESOURCES_STOP_SHARE));
        blocking.shutdown();
        quietly(
                "resources",
                CompletableFuture.runAsync(
                        this::closeResources,
                        closing -> Thread.ofPlatform().daemon().name("closing").start(closing)),
                deadline);
    }

    private void closeResources() {
        for (AutoCloseable resource : resources) {
            try {
                resource.close();
            } catch (Exception e) {
                LOG.warn("could not be closed: {}", resource, e);
            }
        }
    }

    private static void quietly(String part, @Nullable CompletionStage<?> stopping, Deadline deadline) {
        if (stopping == null) {
            return;
        }
        try {
            stopping.toCompletableFuture().get(deadline.left().toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (ExecutionException | TimeoutException e) {
            LOG.warn("did not stop in order: part={} reason={}", part, e.toString());
        }
    }

    static ExecutorService blockingThreads() {
        AtomicInteger number = new AtomicInteger();
        ThreadPoolExecutor threads = new ThreadPoolExecutor(
                BLOCKING_THREADS,
                BLOCKING_THREADS,
                30,
                TimeUnit.SECONDS,
                new LinkedBlockingQueue<>(BLOCKING_QUEUE),
                task -> Thread.ofPlatform()
                        .daemon()
                        .name("blocking-" + number.incrementAndGet())
                        .unstarted(task));
        threads.allowCoreThreadTimeOut(true);
        return threads;
    }
}
