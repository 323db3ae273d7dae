package io.spg99.nodes.pageserver;

import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.spg99.compute.generation.ComputeGeneration;
import io.spg99.compute.generation.ComputeNode;
import io.spg99.compute.generation.ComputeSettings;
import io.spg99.compute.generation.GenerationCommand;
import io.spg99.compute.generation.GenerationEvent;
import io.spg99.compute.generation.GenerationSpec;
import io.spg99.compute.generation.Profile;
import io.spg99.compute.generation.Recovery;
import io.spg99.compute.image.BaseImages;
import io.spg99.compute.image.ReadThroughCaches;
import io.spg99.compute.image.SnapshotFiles;
import io.spg99.nodes.safekeeper.TestPki;
import io.spg99.nodes.safekeeper.TestSafekeepers;
import io.spg99.storage.file.FileTree;
import io.spg99.storage.object.LocalObjectStore;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.PostgresBinaries;
import io.spg99.storage.quorum.QuorumCommand;
import io.spg99.storage.quorum.QuorumEvent;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.readthrough.ReadThroughLibrary;
import io.spg99.storage.readthrough.ReadThroughSettings;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalArchive;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.safekeeper.WalSegmentFiles;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.snapshot.Manifest;
import io.spg99.storage.socket.UnixSocketFactory;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.awaitility.Awaitility;
import org.postgresql.Driver;

/** The storage chain with real computes: three Safekeepers, base images, object storage; no Database actors. */
final class TestTimelines implements AutoCloseable {

    static final Duration PATIENCE = Duration.ofSeconds(30);
    static final String DATABASE = "app";
    private static final String ROLE = "tnt_test";

    final Path root;
    final OsUser user;
    final PostgresBinaries binaries;
    final LocalObjectStore objects;
    final BaseImages images;
    final TestPki pki;
    final TlsIdentity compute;
    final TlsIdentity pageserver;
    final TestSafekeepers safekeepers;
    private final List<ReadThroughCaches> caches = new ArrayList<>();
    private final List<ComputeNode> nodes = new ArrayList<>();
    private final ExecutorService blocking = Executors.newVirtualThreadPerTaskExecutor();

    TestTimelines() throws Exception {
        root = Files.createTempDirectory(
                Path.of("/tmp"),
                "spg99-pages-",
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x")));
        user = OsUser.forPostgres();
        binaries = PostgresBinaries.unpack(root.resolve("binaries"));
        objects = new LocalObjectStore(root.resolve("objects"));
        images = new BaseImages(binaries, user, objects, root.resolve("images"));
        images.ensure();
        pki = new TestPki(Files.createDirectory(root.resolve("pki")));
        compute = pki.issue(TlsIdentity.COMPUTE);
        pageserver = pki.issue("spg99-pageserver");
        safekeepers = new TestSafekeepers(
                Files.createDirectory(root.resolve("safekeepers")), pki.issue(TlsIdentity.SAFEKEEPER));
    }

    BaseFiles baseFiles() {
        return new BaseFiles() {
            @Override
            public void materialize(String image, TimelineBase base, Path pgdata) throws IOException {
                images.layOut(image, pgdata);
                images.materialize(image, base, pgdata);
            }

            @Override
            public void discard(String image, Path pgdata) throws IOException {
                images.discard(image, pgdata);
            }

            @Override
            public Path files(String image) throws IOException {
                return images.files(image);
            }
        };
    }

    RedoWorker redoWorker(ObjectStore store) throws IOException {
        return redoWorker(store, PageserverSettings.defaults());
    }

    RedoWorker redoWorker(ObjectStore store, PageserverSettings settings) throws IOException {
        return redoWorker(store, settings, ReadThroughLibrary.install(root.resolve("native")));
    }

    RedoWorker redoWorker(ObjectStore store, Optional<ReadThroughLibrary> library) throws IOException {
        return redoWorker(store, PageserverSettings.defaults(), library);
    }

    private RedoWorker redoWorker(ObjectStore store, PageserverSettings settings, Optional<ReadThroughLibrary> library)
            throws IOException {
        Path directory = root.resolve("redo");
        Files.createDirectories(directory);
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
        return RedoWorker.open(
                binaries, user, baseFiles(), store, pageserver, library, directory, settings, Clock.systemUTC());
    }

    Timeline timeline() throws IOException {
        return timeline(objects, ReadThroughSettings.DEFAULT);
    }

    /** @param store as the computes see it */
    Timeline timeline(ObjectStore store, ReadThroughSettings settings) throws IOException {
        MeterRegistry meters = new SimpleMeterRegistry();
        Optional<ReadThroughCaches> cache = ReadThroughCaches.open(
                root.resolve("native"), root.resolve("run").resolve(".readthrough"), user, settings, meters);
        cache.ifPresent(caches::add);
        return new Timeline(store, cache, meters);
    }

    /** As on a machine without the library. */
    Timeline timelineWithoutReadThrough() throws IOException {
        return new Timeline(objects, Optional.empty(), new SimpleMeterRegistry());
    }

    @Override
    public void close() throws IOException {
        safekeepers.close();
        nodes.forEach(ComputeNode::close);
        caches.forEach(ReadThroughCaches::close);
        blocking.close();
        images.close();
        FileTree.delete(root);
    }

    /** One timeline and its writers, one after the other. */
    final class Timeline {
        final TimelineBase base =
                images.newBase(new TimelineId(UUID.randomUUID().toString().replace("-", "")));
        final ComputeNode node;
        final MeterRegistry meters;
        private Profile profile = Profile.L1;
        final TestProbe<QuorumEvent> events = safekeepers.kit().createTestProbe(QuorumEvent.class);
        final ActorRef<QuorumCommand> quorum = safekeepers.quorum(base);
        private int generation = TimelineBase.CREATION;
        private int configured;
        private Optional<QuorumReply.Prepared> current = Optional.empty();
        private ActorRef<GenerationCommand> actor =
                safekeepers.kit().<GenerationCommand>createTestProbe().getRef();
        private TestProbe<GenerationEvent> owner = safekeepers.kit().createTestProbe(GenerationEvent.class);
        private WriterAddress writer = new WriterAddress("127.0.0.1", 1);

        private Timeline(ObjectStore store, Optional<ReadThroughCaches> cache, MeterRegistry meters)
                throws IOException {
            this.meters = meters;
            node = new ComputeNode(
                    binaries,
                    user,
                    new SnapshotFiles(images, store, user, cache),
                    root.resolve("run"),
                    compute,
                    (spec, recovery, start, pgWal) -> {
                        try (WalSegmentFiles files =
                                new WalSegmentFiles(pgWal, recovery.history(), base.segmentSize())) {
                            WalFetch fetch = new WalFetch(base.timeline(), compute, "generation-" + spec.generation());
                            new WalArchive(store, base.timeline(), base.segmentSize())
                                    .fetch(fetch, recovery.sources(), recovery.history(), start, recovery.end(), files);
                        }
                    },
                    blocking,
                    Clock.systemUTC(),
                    ComputeSettings.defaults());
            nodes.add(node);
            safekeepers.ask(quorum, QuorumReply.Created.class, QuorumCommand.Create::new);
        }

        int generation() {
            return generation;
        }

        /** For the generations that are started from now on. */
        void limitCache(int megabytes) {
            profile = new Profile(
                    profile.name(),
                    profile.cpus(),
                    profile.memoryMb(),
                    profile.sharedBuffersMb(),
                    profile.workMemMb(),
                    profile.maxConnections(),
                    profile.serverConnections(),
                    profile.maxWalSizeMb(),
                    profile.checkpointTimeout(),
                    megabytes);
        }

        /** The server's. */
        Path socket() {
            return writer.socket().orElseThrow();
        }

        Path pgbenchOutput() {
            return root.resolve("pgbench-" + base.timeline());
        }

        /** A snapshot of what the running generation has written, which hears of it. */
        Manifest publish(RedoWorker worker, Connection connection) throws SQLException {
            Workload.run(connection, "CHECKPOINT");
            Lsn end = Lsn.parse(Workload.ask(connection, "SELECT pg_current_wal_flush_lsn()"));
            Manifest made = Awaitility.await("a snapshot with the checkpoint")
                    .atMost(PATIENCE.multipliedBy(4))
                    .until(
                            () -> worker.advance(running(Lsn.max(end, quorumPosition())))
                                    .newest()
                                    .orElseThrow(),
                            snapshot -> snapshot.generation() == generation);
            published(made);
            return made;
        }

        Lsn quorumPosition() {
            return safekeepers
                    .ask(quorum, QuorumReply.Positions.class, QuorumCommand.GetPositions::new)
                    .quorum();
        }

        /** What generations say that they read. */
        List<String> held() throws IOException {
            return objects.list("timelines/" + base.timeline() + "/held/");
        }

        boolean reads(Manifest snapshot) throws IOException {
            List<String> held = held();
            return held.size() == 1
                    && held.getFirst().contains("%016X".formatted(snapshot.end().value()));
        }

        /** The running generation hears of a snapshot. */
        void published(Manifest snapshot) {
            actor.tell(new GenerationCommand.SnapshotPublished(snapshot.end()));
        }

        Path pgdata() {
            return root.resolve("run").resolve("db-" + base.timeline()).resolve(Integer.toString(generation));
        }

        /** The promises for the next generation, without starting it. */
        QuorumReply.Prepared prepare() {
            generation++;
            return safekeepers.ask(
                    quorum,
                    QuorumReply.Prepared.class,
                    asker -> new QuorumCommand.Prepare(generation, asker, events.getRef()));
        }

        /** Of what the running generation has written up to {@code end}. */
        RedoJob running(Lsn end) {
            QuorumReply.Prepared begun = current.orElseThrow();
            return new RedoJob(
                    base, images.key(), begun.history().append(begun.generation(), begun.end()), end, begun.sources());
        }

        RedoJob job(QuorumReply.Prepared prepared) {
            return new RedoJob(base, images.key(), prepared.history(), prepared.end(), prepared.sources());
        }

        /** Starts the next generation. */
        void start() {
            start(prepare());
        }

        void start(QuorumReply.Prepared prepared) {
            current = Optional.of(prepared);
            owner = safekeepers.kit().createTestProbe(GenerationEvent.class);
            actor = safekeepers
                    .kit()
                    .spawn(ComputeGeneration.create(
                            new GenerationSpec(
                                    "db-" + base.timeline(),
                                    DATABASE,
                                    ROLE,
                                    images.key(),
                                    base,
                                    prepared.generation(),
                                    configured,
                                    profile,
                                    OptionalInt.empty()),
                            node,
                            owner.getRef()));
            actor.tell(new GenerationCommand.Recover(
                    new Recovery(prepared.history(), prepared.end(), prepared.sources())));
            GenerationEvent first = owner.receiveMessage(PATIENCE);
            if (!(first instanceof GenerationEvent.Accepting accepting)) {
                throw new AssertionError("expected Accepting: actual=" + first);
            }
            writer = accepting.writer();
            safekeepers.ask(
                    quorum,
                    QuorumReply.Following.class,
                    asker -> new QuorumCommand.Follow(generation, writer, asker, events.getRef()));
            configured = owner.expectMessageClass(GenerationEvent.Configured.class, PATIENCE)
                    .version();
        }

        void stop() {
            actor.tell(GenerationCommand.Stop.INSTANCE);
            GenerationEvent.Ended ended = TestTimelines.ended(owner);
            if (!ended.orderly()) {
                throw new AssertionError("expected an orderly stop: actual=" + ended);
            }
            quorum.tell(new QuorumCommand.Release(generation));
        }

        void kill() {
            actor.tell(GenerationCommand.Kill.INSTANCE);
            TestTimelines.ended(owner);
            quorum.tell(new QuorumCommand.Release(generation));
        }

        /** As the superuser, over the Unix socket. */
        Connection connect() throws SQLException {
            return connect(DATABASE);
        }

        Connection connect(String database) throws SQLException {
            return TestTimelines.connect(socket(), database);
        }
    }

    /** As the superuser. */
    static Connection connect(Path socket, String database) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", BaseImages.SUPERUSER);
        properties.setProperty("sslmode", "disable");
        properties.setProperty("socketFactory", UnixSocketFactory.class.getName());
        properties.setProperty("socketFactoryArg", socket.toString());
        Connection connection = new Driver().connect("jdbc:postgresql://localhost/" + database, properties);
        if (connection == null) {
            throw new SQLException("not a URL of PgJDBC's");
        }
        return connection;
    }

    /** Its end, whatever it reported of its load before. */
    private static GenerationEvent.Ended ended(TestProbe<GenerationEvent> owner) {
        GenerationEvent event = owner.receiveMessage(PATIENCE);
        while (event instanceof GenerationEvent.Load) {
            event = owner.receiveMessage(PATIENCE);
        }
        return assertInstanceOf(GenerationEvent.Ended.class, event);
    }
}
