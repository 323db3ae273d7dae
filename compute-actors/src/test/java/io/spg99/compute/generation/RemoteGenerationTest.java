package io.spg99.compute.generation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.wal.Lsn;
import java.time.Duration;
import java.util.List;
import java.util.OptionalInt;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.ManualTime;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.PostStop;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** What stands for a generation on another node, and what owns it there. */
class RemoteGenerationTest {

    private static final ActorTestKit KIT = ActorTestKit.create(ManualTime.config());
    private static final GenerationEvent ENDED = new GenerationEvent.Ended(5, true, "stopped on request");

    private final ManualTime time = ManualTime.get(KIT.system());
    private final TestProbe<GenerationEvent> owner = KIT.createTestProbe();
    private final TestProbe<GenerationHost.Begin> host = KIT.createTestProbe();

    /** What the generation is told; also that it was stopped, as a Kill. */
    private final TestProbe<GenerationCommand> told = KIT.createTestProbe();

    private final ActorRef<GenerationCommand> remote = KIT.spawn(RemoteGeneration.create(
            GenerationMessagesTest.spec("db1", 5, OptionalInt.of(4)), host.getRef(), owner.getRef()));

    @AfterAll
    static void stop() {
        KIT.shutdownTestKit();
    }

    /** Says Ended to Stop. */
    private Behavior<GenerationCommand> generation(ActorRef<GenerationEvent> hosted) {
        return Behaviors.receive(GenerationCommand.class)
                .onMessage(GenerationCommand.class, command -> {
                    told.getRef().tell(command);
                    if (command == GenerationCommand.Stop.INSTANCE) {
                        hosted.tell(ENDED);
                        return Behaviors.stopped();
                    }
                    return Behaviors.same();
                })
                .onSignal(PostStop.class, stopped -> {
                    told.getRef().tell(GenerationCommand.Kill.INSTANCE);
                    return Behaviors.same();
                })
                .build();
    }

    private ActorRef<GenerationCommand> host() {
        GenerationHost.Begin begin = host.receiveMessage();
        ActorRef<GenerationCommand> hosted =
                KIT.spawn(HostedGeneration.create(begin.spec().generation(), this::generation, begin.owner()));
        begin.replyTo().tell(new GenerationHost.Begun(hosted));
        return hosted;
    }

    private String endedBecause() {
        return owner.expectMessageClass(GenerationEvent.Ended.class).reason();
    }

    @Test
    void givenAGenerationElsewhere_whenItIsToldSomething_thenItIsInOrderAndItsEndIsTheEndOfBoth() {
        remote.tell(new GenerationCommand.SnapshotPublished(Lsn.ZERO));
        remote.tell(GenerationCommand.ShareHot.INSTANCE);
        ActorRef<GenerationCommand> hosted = host();
        remote.tell(GenerationCommand.Stop.INSTANCE);
        assertEquals(
                List.of(
                        new GenerationCommand.SnapshotPublished(Lsn.ZERO),
                        GenerationCommand.ShareHot.INSTANCE,
                        GenerationCommand.Stop.INSTANCE),
                told.receiveSeveralMessages(3));
        assertEquals(ENDED, owner.receiveMessage());
        owner.expectTerminated(remote);
        owner.expectTerminated(hosted);
    }

    @Test
    void givenAHostThatIsSilent_whenTheLimitPasses_thenItHasEnded() {
        host.receiveMessage();
        time.timePasses(Duration.ofSeconds(5));
        assertTrue(endedBecause().startsWith("its node does not answer"));
        owner.expectTerminated(remote);
    }

    @Test
    void givenAGenerationElsewhere_whenItsNodeIsGone_thenItHasEnded() {
        KIT.stop(host());
        assertTrue(endedBecause().startsWith("its node is gone"));
        owner.expectTerminated(remote);
    }

    @Test
    void givenAKill_whenNothingEnds_thenItIsStoppedThereAllTheSame() {
        ActorRef<GenerationCommand> hosted = host();
        remote.tell(GenerationCommand.Kill.INSTANCE);
        assertEquals(GenerationCommand.Kill.INSTANCE, told.receiveMessage());
        time.timePasses(Duration.ofSeconds(10));
        assertTrue(endedBecause().startsWith("its node does not answer"));
        owner.expectTerminated(remote);
        owner.expectTerminated(hosted);
    }

    @Test
    void givenAGenerationElsewhere_whenItsOwnerIsGone_thenItIsStopped() {
        ActorRef<GenerationCommand> hosted = host();
        KIT.stop(remote);
        assertEquals(GenerationCommand.Kill.INSTANCE, told.receiveMessage());
        owner.expectTerminated(hosted);
    }

    @Test
    void givenAnOwnerThatDoesNotHearOfTheEnd_whenTimePasses_thenItIsSaidAgainUntilTheOwnerIsGone() {
        TestProbe<GenerationEvent> deaf = KIT.createTestProbe();
        ActorRef<GenerationCommand> hosted = KIT.spawn(HostedGeneration.create(5, this::generation, deaf.getRef()));
        hosted.tell(GenerationCommand.Stop.INSTANCE);
        assertEquals(ENDED, deaf.receiveMessage());
        deaf.expectNoMessage(Duration.ofMillis(50));
        time.timePasses(Duration.ofSeconds(1));
        assertEquals(ENDED, deaf.receiveMessage());
        deaf.stop();
        owner.expectTerminated(hosted);
    }

    @Test
    void givenAGenerationThatFails_whenItSaysNothing_thenItHasEnded() {
        ActorRef<GenerationCommand> hosted =
                KIT.spawn(HostedGeneration.create(5, reports -> Behaviors.stopped(), owner.getRef()));
        assertEquals("the compute's actor stopped unexpectedly", endedBecause());
        KIT.stop(hosted);
    }
}
