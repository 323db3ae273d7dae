package io.spg99.compute.generation;

import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import io.spg99.compute.testing.TestClients;
import io.spg99.compute.testing.TestPlatform;
import io.spg99.compute.testing.TestSafekeeper;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.UUID;
import java.util.concurrent.Executors;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.FishingOutcomes;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;

/** A database for tests: what the Database actor and the Safekeepers do around generations. */
final class TestDatabase {

    static final Duration PATIENCE = Duration.ofSeconds(20);

    final TestPlatform platform = TestPlatform.shared();
    final ActorTestKit kit;
    final String id = "db-" + UUID.randomUUID().toString().substring(0, 8);
    final String image;
    final TimelineBase base;
    final Path run;
    final String name;
    final String role;
    final List<TestSafekeeper> safekeepers = new ArrayList<>();
    WalHistory history;
    Lsn end;
    WalProvider wal;
    ComputeSettings settings = ComputeSettings.defaults();
    /** Version of the managed configuration that the next generation is told of. */
    int known;

    TestDatabase(ActorTestKit kit, String name, String role) throws IOException {
        this(kit, name, role, "run");
    }

    TestDatabase(ActorTestKit kit, String name, String role, String runDirectory) throws IOException {
        this.kit = kit;
        this.name = name;
        this.role = role;
        image = platform.images().ensure();
        base = platform.images()
                .newBase(new TimelineId(UUID.randomUUID().toString().replace("-", "")));
        run = platform.directory(runDirectory);
        history = base.history();
        end = base.end();
        for (int i = 1; i <= 2; i++) {
            safekeepers.add(new TestSafekeeper("sk" + i, base, platform.directory("sk" + i)));
        }
        wal = (spec, recovery, start, pgWal) -> safekeepers.getFirst().copyTo(pgWal);
    }

    TestDatabase(ActorTestKit kit) throws IOException {
        this(kit, "app", "tnt_test");
    }

    record Serving(WriterAddress writer, Map<String, Duration> phases) {}

    /** A generation, as its owner sees it. */
    final class Run {
        final int generation;
        final GenerationSpec spec;
        final TestProbe<GenerationEvent> owner = kit.createTestProbe(GenerationEvent.class);
        final ActorRef<GenerationCommand> actor;
        final ComputeNode node;

        private Run(int generation, ComputeNode node) {
            this.generation = generation;
            this.node = node;
            this.spec =
                    new GenerationSpec(id, name, role, image, base, generation, known, Profile.L1, OptionalInt.empty());
            this.actor = kit.spawn(ComputeGeneration.create(spec, node, owner.getRef()));
            actor.tell(new GenerationCommand.Recover(new Recovery(history, end, List.of())));
        }

        WriterAddress accepting() {
            GenerationEvent event = owner.receiveMessage(PATIENCE);
            if (event instanceof GenerationEvent.Accepting accepting) {
                return accepting.writer();
            }
            throw new AssertionError("expected Accepting: actual=" + event);
        }

        /** Both Safekeepers follow; returns once the managed configuration holds. */
        Serving configured() {
            WriterAddress writer = accepting();
            follow(generation, writer);
            GenerationEvent.Configured configured =
                    owner.expectMessageClass(GenerationEvent.Configured.class, PATIENCE);
            known = configured.version();
            return new Serving(writer, configured.phases());
        }

        GenerationEvent.Ended ended() {
            return TestDatabase.ended(owner);
        }

        /** Waits for an event, whatever was reported before. */
        void await(Class<? extends GenerationEvent> wanted) {
            owner.fishForMessage(
                    PATIENCE,
                    event -> wanted.isInstance(event)
                            ? FishingOutcomes.complete()
                            : FishingOutcomes.continueAndIgnore());
        }

        /** Stops in order; afterwards the database ends where the Safekeepers have it. */
        GenerationEvent.Ended stop() throws InterruptedException {
            actor.tell(GenerationCommand.Stop.INSTANCE);
            GenerationEvent.Ended ended = ended();
            for (TestSafekeeper safekeeper : safekeepers) {
                safekeeper.awaitEnd();
            }
            advance(generation, safekeepers.getFirst().flushed());
            return ended;
        }
    }

    /** Its end, whatever it reported of its load before. */
    private static GenerationEvent.Ended ended(TestProbe<GenerationEvent> owner) {
        GenerationEvent event = owner.receiveMessage(PATIENCE);
        while (event instanceof GenerationEvent.Load) {
            event = owner.receiveMessage(PATIENCE);
        }
        return assertInstanceOf(GenerationEvent.Ended.class, event);
    }

    ComputeNode node() throws IOException {
        ComputeNode node = new ComputeNode(
                platform.binaries(),
                platform.user(),
                platform.images(),
                run,
                platform.compute(),
                wal,
                Executors.newVirtualThreadPerTaskExecutor(),
                Clock.systemUTC(),
                settings);
        kit.system().getWhenTerminated().thenRun(node::close);
        return node;
    }

    /** The pid in postmaster.pid; none while the server is still being started. */
    static Optional<Long> postmaster(Path pgdata) throws IOException {
        Path file = pgdata.resolve("postmaster.pid");
        return Files.exists(file)
                ? Files.readAllLines(file).stream().findFirst().map(Long::valueOf)
                : Optional.empty();
    }

    Run start(int generation) throws IOException {
        return start(generation, node());
    }

    Run start(int generation, ComputeNode node) {
        return new Run(generation, node);
    }

    void follow(int generation, WriterAddress writer) {
        for (TestSafekeeper safekeeper : safekeepers) {
            safekeeper.follow(generation, writer, platform.safekeeper(), end);
        }
    }

    /** Generation {@code generation} is over; the next one begins at {@code newEnd}. */
    void advance(int generation, Lsn newEnd) {
        history = history.append(generation, end);
        end = newEnd;
    }

    Connection connect(WriterAddress writer) throws SQLException {
        return TestClients.connect(writer, platform.gateway(), name, role);
    }
}
