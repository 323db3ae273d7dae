package io.spg99.nodes.safekeeper;

import static java.util.Objects.requireNonNull;

import io.spg99.storage.quorum.QuorumCommand;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.quorum.WalQuorum;
import io.spg99.storage.quorum.WalQuorumSettings;
import io.spg99.storage.safekeeper.ReceptionistSafekeepers;
import io.spg99.storage.safekeeper.SafekeeperCommand;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.SafekeeperReply;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.TimelineId;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.awaitility.Awaitility;

/** Three Safekeepers in one ActorSystem, each with its own directory; they can be stopped and started again. */
public final class TestSafekeepers implements AutoCloseable {

    static final Duration PATIENCE = Duration.ofSeconds(15);

    private final ActorTestKit kit = ActorTestKit.create();
    private final Path root;
    private final TlsIdentity identity;
    private final ReceptionistSafekeepers directory = new ReceptionistSafekeepers();
    private final Map<SafekeeperId, ActorRef<SafekeeperCommand>> running = new HashMap<>();
    private final Map<SafekeeperId, Integer> ports = new HashMap<>();

    public TestSafekeepers(Path root, TlsIdentity identity) throws IOException {
        this.root = root;
        this.identity = identity;
        kit.spawn(directory.follow());
        for (SafekeeperId id : SafekeeperId.ALL) {
            start(id);
        }
    }

    public ActorTestKit kit() {
        return kit;
    }

    public Path directory(SafekeeperId id) {
        return root.resolve(id.value());
    }

    public void start(SafekeeperId id) throws IOException {
        int port = ports.computeIfAbsent(id, any -> {
            try {
                return TestPostgres.freePort();
            } catch (IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        });
        running.put(
                id,
                kit.spawn(Safekeeper.create(
                        new SafekeeperSettings(id, directory(id), "127.0.0.1", port, identity, 16L << 30))));
        Awaitility.await(id + " is listed")
                .atMost(PATIENCE)
                .until(() -> directory.reachable().containsKey(id));
    }

    public void stop(SafekeeperId id) {
        kit.stop(running.remove(id), PATIENCE);
        Awaitility.await(id + " is no longer listed")
                .atMost(PATIENCE)
                .until(() -> !directory.reachable().containsKey(id));
    }

    public ActorRef<QuorumCommand> quorum(TimelineBase base) {
        return kit.spawn(WalQuorum.create(base, directory, WalQuorumSettings.DEFAULT));
    }

    /** Asks the quorum and waits for that kind of answer. */
    public <T extends QuorumReply> T ask(
            ActorRef<QuorumCommand> quorum,
            Class<T> reply,
            java.util.function.Function<ActorRef<QuorumReply>, QuorumCommand> command) {
        TestProbe<QuorumReply> probe = kit.createTestProbe(QuorumReply.class);
        quorum.tell(command.apply(probe.getRef()));
        return probe.expectMessageClass(reply, PATIENCE);
    }

    public SafekeeperReply.Position position(SafekeeperId id, TimelineId timeline) {
        TestProbe<SafekeeperReply> probe = kit.createTestProbe(SafekeeperReply.class);
        ref(id).tell(new SafekeeperCommand.GetPosition(timeline, probe.getRef()));
        return probe.expectMessageClass(SafekeeperReply.Position.class, PATIENCE);
    }

    public WalSource source(SafekeeperId id) {
        return new WalSource(id, "127.0.0.1", requireNonNull(ports.get(id)));
    }

    public ActorRef<SafekeeperCommand> ref(SafekeeperId id) {
        return requireNonNull(running.get(id));
    }

    @Override
    public void close() {
        kit.shutdownTestKit();
    }
}
