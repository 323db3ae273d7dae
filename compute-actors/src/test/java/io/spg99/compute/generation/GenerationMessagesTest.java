package io.spg99.compute.generation;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.spg99.compute.ComputeMessage;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.typed.ActorRef;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** Everything that a Database actor and a generation on another node say to each other comes back the same from CBOR. */
class GenerationMessagesTest {

    private static final ActorTestKit KIT = ActorTestKit.create();
    private static final Lsn END = Lsn.parse("FFFFFFFF/FFFFFFF8");
    private static final TimelineBase BASE = new TimelineBase(
            new TimelineId("00112233445566778899aabbccddeeff"), -5, 1 << 22, new Lsn(0x3000000), new byte[] {0, -1, 7});
    private static final Recovery RECOVERY = new Recovery(
            WalHistory.of(1, new Lsn(0x3000000)).append(4, END),
            END,
            List.of(
                    new WalSource(SafekeeperId.ALL.getFirst(), "10.0.0.1", 6500),
                    new WalSource(SafekeeperId.ALL.getLast(), "10.0.0.2", 6501, "/run/spg99/wal")));

    /** Also what {@link PlacementTest} and {@link RemoteGenerationTest} begin. */
    static GenerationSpec spec(String databaseId, int generation, OptionalInt writer) {
        return new GenerationSpec(databaseId, "app", "tnt_1", "image", BASE, generation, 3, Profile.L1, writer);
    }

    @AfterAll
    static void stop() {
        KIT.shutdownTestKit();
    }

    private static <T extends ComputeMessage> T copy(T message) {
        return KIT.serializationTestKit().verifySerialization(message, false);
    }

    private static void checkAll(Class<?> kind, ComputeMessage... messages) {
        Set<Class<?>> spoken = Arrays.stream(kind.getPermittedSubclasses())
                .filter(type -> type != GenerationCommand.Private.class)
                .collect(Collectors.toSet());
        assertEquals(spoken, Stream.of(messages).map(Object::getClass).collect(Collectors.toSet()));
        for (ComputeMessage message : messages) {
            assertEquals(message, copy(message));
        }
    }

    @Test
    void givenEveryCommand_whenSerialized_thenItComesBackTheSame() {
        checkAll(
                GenerationCommand.class,
                new GenerationCommand.Recover(RECOVERY),
                new GenerationCommand.TakeOver(RECOVERY),
                GenerationCommand.ShareHot.INSTANCE,
                GenerationCommand.PrepareHandOver.INSTANCE,
                new GenerationCommand.SnapshotPublished(END),
                GenerationCommand.HandOver.INSTANCE,
                GenerationCommand.Stop.INSTANCE,
                GenerationCommand.Kill.INSTANCE);
    }

    @Test
    void givenEveryEvent_whenSerialized_thenItComesBackTheSame() {
        checkAll(
                GenerationEvent.class,
                new GenerationEvent.Accepting(4, new WriterAddress("10.0.0.1", 5432, "/run/spg99/db/4")),
                new GenerationEvent.Configured(4, 3, Map.of("image", Duration.ofNanos(1_234_567))),
                new GenerationEvent.Followed(4, END, Lsn.ZERO),
                new GenerationEvent.HandOverPrepared(4, Optional.of(Duration.ofMillis(1500))),
                new GenerationEvent.HandedOver(4),
                new GenerationEvent.Load(4, Duration.ofMillis(12), 1L << 33, 3, 4),
                new GenerationEvent.Ended(4, true, "stopped on request"));
        assertEquals(
                new GenerationEvent.HandOverPrepared(4, Optional.empty()),
                copy(new GenerationEvent.HandOverPrepared(4, Optional.empty())));
    }

    @Test
    void givenABeginning_whenSerialized_thenItComesBackTheSame() {
        ActorRef<GenerationEvent> owner =
                KIT.createTestProbe(GenerationEvent.class).getRef();
        ActorRef<GenerationHost.Begun> asker =
                KIT.createTestProbe(GenerationHost.Begun.class).getRef();
        for (OptionalInt writer : List.of(OptionalInt.empty(), OptionalInt.of(4))) {
            GenerationSpec spec = spec("db1", 5, writer);
            GenerationHost.Begin copy = copy(new GenerationHost.Begin(spec, owner, asker));
            GenerationSpec sent = copy.spec();
            // Records with an array are equal only to themselves.
            assertArrayEquals(BASE.firstWal(), sent.base().firstWal());
            assertEquals(
                    spec,
                    new GenerationSpec(
                            sent.databaseId(),
                            sent.databaseName(),
                            sent.roleName(),
                            sent.image(),
                            BASE,
                            sent.generation(),
                            sent.configured(),
                            sent.profile(),
                            sent.writer()));
            assertEquals(BASE.timeline(), sent.base().timeline());
            assertEquals(BASE.systemIdentifier(), sent.base().systemIdentifier());
            assertEquals(owner, copy.owner());
            assertEquals(asker, copy.replyTo());
        }
        ActorRef<GenerationCommand> generation =
                KIT.createTestProbe(GenerationCommand.class).getRef();
        assertEquals(new GenerationHost.Begun(generation), copy(new GenerationHost.Begun(generation)));
    }
}
