package io.spg99.lifecycle.database;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.compute.generation.GenerationCommand;
import io.spg99.compute.generation.GenerationEvent;
import io.spg99.gateway.login.PoolMode;
import io.spg99.gateway.pool.FreezeEvent;
import io.spg99.gateway.pool.PoolsCommand;
import io.spg99.gateway.pool.PoolsEvent;
import io.spg99.lifecycle.database.event.DatabaseEvent;
import io.spg99.lifecycle.model.DatabaseChange;
import io.spg99.lifecycle.model.Profile;
import io.spg99.storage.pageserver.PageserverCommand;
import io.spg99.storage.quorum.QuorumCommand;
import io.spg99.storage.quorum.QuorumEvent;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A change of profile, step by step, and what may come between, with fakes for everything around the actor. */
class HandoffTest {

    private static final ActorTestKit KIT = ActorTestKit.create(World.CONFIG);

    /** Where the writer, generation 2, is; and a bit further on. */
    private static final Lsn END = Samples.BASE.end().plus(4096);

    private static final WalHistory LINEAGE =
            WalHistory.of(1, Samples.BASE.start()).append(2, Samples.BASE.end());

    private final World world = new World(KIT);

    @BeforeEach
    void aWriterAndItsLineage() {
        world.create();
        world.wake(2);
        world.say(new QuorumEvent.Advanced(2, LINEAGE, END, List.of(), false));
        world.pageserver.expectMessageClass(PageserverCommand.Advance.class);
    }

    @AfterEach
    void endOfWorld() {
        world.close();
    }

    @AfterAll
    static void stop() {
        KIT.shutdownTestKit();
    }

    private void scale(Profile profile) {
        world.database.tell(new Database.Scale(profile, world.replies.getRef()));
        assertEquals(profile, world.accepted().targetProfile());
    }

    /** A candidate that has caught up, and a writer that is asked to get ready. */
    private void prepare(int candidate) {
        await("candidate " + candidate + " recovers").until(() -> world.recovering.contains(candidate));
        assertTrue(world.started.getLast().prepareOnly());
        assertEquals(GenerationCommand.ShareHot.INSTANCE, world.generation.receiveMessage());
        world.say(new GenerationEvent.Followed(candidate, END, END));
        assertEquals(GenerationCommand.PrepareHandOver.INSTANCE, world.generation.receiveMessage());
    }

    private PoolsCommand.Freeze freeze() {
        world.say(new GenerationEvent.HandOverPrepared(2, Optional.empty()));
        return world.expectPools(PoolsCommand.Freeze.class);
    }

    private void drained(PoolsCommand.Freeze freeze) {
        freeze.replyTo().tell(new FreezeEvent.Drained(2));
        assertEquals(GenerationCommand.HandOver.INSTANCE, world.generation.receiveMessage());
        world.expectPools(PoolsCommand.WriterGone.class);
    }

    private void takeOver(int candidate) {
        world.expectPrepareOf(candidate).replyTo().tell(new QuorumReply.Prepared(candidate, LINEAGE, END, List.of()));
        assertEquals(
                END,
                world.generation
                        .expectMessageClass(GenerationCommand.TakeOver.class)
                        .recovery()
                        .end());
        QuorumCommand.Follow follow = world.accepting(candidate);
        world.configured(candidate);
        world.following(follow);
    }

    private List<String> states() {
        return world.written().stream()
                .map(event -> event.getClass().getSimpleName())
                .dropWhile(name -> !name.equals("ProfileChosen"))
                .toList();
    }

    @Test
    void givenReady_whenAnotherProfileIsAskedFor_thenEveryStepInOrderAndTheCandidateIsTheWriter() {
        scale(Profile.L3);
        prepare(3);
        assertEquals("L3", world.started.getLast().profile().name());
        drained(freeze());
        world.say(new GenerationEvent.HandedOver(2));
        takeOver(3);
        assertEquals(world.started.getLast().profile().serverConnections(), world.expectServerConnections());
        assertEquals(3, world.expectPools(PoolsCommand.WriterReady.class).generation());
        world.expectWritten(DatabaseEvent.HandoffCompleted.class);
        world.timePasses(Duration.ofSeconds(31));
        world.expectWritten(DatabaseEvent.CooldownEnded.class);
        assertEquals(
                List.of(
                        "ProfileChosen",
                        "HandoffStarted",
                        "FreezeStarted",
                        "DrainStarted",
                        "WriterStopping",
                        "CandidateStarting",
                        "WriterSwitched",
                        "HandoffCompleted",
                        "CooldownEnded"),
                states());
        assertEquals(
                1,
                world.meters.get("spg99.handoff").tag("phase", "frozen").timer().count());
        // It is told after it is written.
        await("all states")
                .untilAsserted(() -> assertEquals(
                        List.of(
                                "PREPARING",
                                "FREEZING",
                                "DRAINING",
                                "STOPPING_OLD",
                                "STARTING_NEW",
                                "SWITCHING",
                                "COOLDOWN",
                                "STEADY"),
                        world.catalog.changes.stream()
                                .filter(change -> change.kind().equals("scale_state"))
                                .map(DatabaseChange::to)
                                .toList()));
        // What is left of the old one ends without anybody minding.
        world.ended(2, "stopped");
        assertEquals(3, world.describe(1, END).generation());
    }

    @Test
    void givenALongTransaction_whenTheCandidateHasCaughtUp_thenNobodyIsFrozenAndItIsTriedAgain() {
        scale(Profile.L2);
        prepare(3);
        world.say(new GenerationEvent.HandOverPrepared(2, Optional.of(Duration.ofSeconds(12))));
        assertTrue(world.expectWritten(DatabaseEvent.HandoffPostponed.class)
                .reason()
                .contains("12000 ms"));
        assertEquals(PoolsCommand.Resume.INSTANCE, world.expectPools(PoolsCommand.Resume.class));
        world.timePasses(Duration.ofSeconds(1));
        world.say(new GenerationEvent.Followed(3, END, END));
        assertEquals(GenerationCommand.PrepareHandOver.INSTANCE, world.generation.receiveMessage());
        drained(freeze());
    }

    /** More than a candidate has to catch up. */
    @Test
    void givenATransactionOfElevenMinutes_whenItHasEnded_thenTheCandidateThatWaitedTakesOver() {
        scale(Profile.L2);
        prepare(3);
        for (int minute = 1; minute <= 11; minute++) {
            world.say(new GenerationEvent.HandOverPrepared(2, Optional.of(Duration.ofMinutes(minute))));
            assertEquals(PoolsCommand.Resume.INSTANCE, world.expectPools(PoolsCommand.Resume.class));
            world.timePasses(Duration.ofMinutes(1));
            world.say(new GenerationEvent.Followed(3, END, END));
            assertEquals(GenerationCommand.PrepareHandOver.INSTANCE, world.generation.receiveMessage());
        }
        drained(freeze());
        assertEquals(2, world.started.size(), "one candidate");
    }

    @Test
    void givenAWriterThatHangs_whenItIsToGetReady_thenNobodyIsFrozenAndItIsSaidAndTriedAgain() {
        scale(Profile.L2);
        prepare(3);
        world.timePasses(Duration.ofSeconds(5));
        assertEquals(
                "the writer has not answered within 5000 ms",
                world.expectWritten(DatabaseEvent.HandoffPostponed.class).reason());
        // That of the last time does not count.
        world.say(new GenerationEvent.HandOverPrepared(2, Optional.empty()));
        world.timePasses(Duration.ofSeconds(1));
        world.say(new GenerationEvent.Followed(3, END, END));
        assertEquals(GenerationCommand.PrepareHandOver.INSTANCE, world.generation.receiveMessage());
        assertEquals(PoolsCommand.Resume.INSTANCE, world.expectPools(PoolsCommand.Resume.class));
        drained(freeze());
    }

    @Test
    void givenClientsThatDoNotEnd_whenTheDrainLimitPasses_thenEverythingGoesOnAndSaysWhatWasInTheWay() {
        scale(Profile.L2);
        prepare(3);
        PoolsCommand.Freeze freeze = freeze();
        world.expectWritten(DatabaseEvent.DrainStarted.class);
        world.timePasses(Duration.ofMillis(500));
        world.expectPools(PoolsCommand.Resume.class);
        freeze.replyTo().tell(new FreezeEvent.Thawed(2, 0, 1));
        assertTrue(world.expectWritten(DatabaseEvent.HandoffPostponed.class)
                .reason()
                .contains("pinned_sessions=1"));
        assertEquals(2, world.started.size(), "the candidate follows on");
    }

    @Test
    void givenACandidateThatDies_whenItPrepares_thenTheWriterServesOnAndAnotherNumberIsTriedUntilTooMany() {
        scale(Profile.L2);
        for (int candidate = 3; candidate < 8; candidate++) {
            int now = candidate;
            await("candidate " + now).pollInterval(Duration.ofMillis(50)).until(() -> {
                boolean there = world.recovering.contains(now);
                if (!there) {
                    world.timePasses(Duration.ofSeconds(1)); // no more at once: the journal has time limits, too
                }
                return there;
            });
            world.ended(now, "disk full");
        }
        assertTrue(
                world.expectWritten(DatabaseEvent.HandoffFailed.class).reason().contains("disk full"));
        await("seen").until(() -> world.catalog.views.getLast().scaleState().equals("FAILED"));
        scale(Profile.L2);
        await("somebody has looked").until(() -> world.recovering.contains(8));
    }

    @Test
    void givenAnOldWriterThatDoesNotEnd_whenItsLimitPasses_thenItIsKilledAndTheCandidateGoesOn() {
        scale(Profile.L2);
        prepare(3);
        drained(freeze());
        world.timePasses(Duration.ofSeconds(2));
        assertEquals(GenerationCommand.Kill.INSTANCE, world.generation.receiveMessage());
        takeOver(3);
        assertEquals(3, world.expectPools(PoolsCommand.WriterReady.class).generation());
    }

    @Test
    void givenNoWriterAnyMore_whenTheCandidateDies_thenTheNextGenerationStartsAsAlwaysWithTheProfile() {
        scale(Profile.L2);
        prepare(3);
        drained(freeze());
        world.say(new GenerationEvent.HandedOver(2));
        world.expectPrepareOf(3);
        world.ended(3, "killed");
        world.expectActivityQuestion().tell(world.activity(1, 1, 1));
        await("cold start")
                .until(() -> world.written().getLast() instanceof DatabaseEvent.GenerationEnded
                        || world.started.getLast().generation() == 4);
    }

    @Test
    void givenAStop_whenTheCandidatePrepares_thenItIsKilledToo() {
        scale(Profile.L2);
        prepare(3);
        world.database.tell(new Database.Stop(world.replies.getRef()));
        assertEquals("STEADY", world.accepted().scaleState());
        // Two actors, in any order.
        assertEquals(
                Set.of(GenerationCommand.Kill.INSTANCE, GenerationCommand.Stop.INSTANCE),
                Set.copyOf(world.generation.receiveSeveralMessages(2)));
    }

    @Test
    void givenStopped_whenAProfileIsAskedFor_thenTheNextWriterHasIt() {
        world.database.tell(new Database.Stop(world.replies.getRef()));
        world.accepted();
        assertEquals(GenerationCommand.Stop.INSTANCE, world.generation.receiveMessage());
        world.ended(2, "stopped");
        world.expectWritten(DatabaseEvent.GenerationEnded.class);
        scale(Profile.L4);
        world.database.tell(new Database.Start(world.replies.getRef()));
        assertEquals(Profile.L4, world.accepted().currentProfile());
        await("started").until(() -> world.started.getLast().generation() == 3);
        assertEquals("L4", world.started.getLast().profile().name());
    }

    @Test
    void givenLoad_whenAutoscaleIsOn_thenAnotherProfileIsChosenAndExplained() {
        world.database.tell(new Database.Change(
                new io.spg99.lifecycle.model.Tunables(
                        Duration.ofMinutes(5), true, Profile.L1, Profile.L5, PoolMode.TRANSACTION),
                Optional.empty(),
                world.replies.getRef()));
        world.accepted();
        for (int second = 0; second < 8; second++) {
            world.timePasses(Duration.ofSeconds(1));
            world.say(new GenerationEvent.Load(2, Duration.ofMillis(600L * second), 100L << 20, 0, 0));
        }
        await("chosen")
                .until(() -> world.written().stream()
                        .anyMatch(event -> event instanceof DatabaseEvent.ProfileChosen chosen
                                && chosen.profile() == Profile.L2
                                && chosen.reason().contains("0.60 cpu of 0.50 cpu")));
    }

    @Test
    void givenClientsThatWaitForServerConnections_whenAutoscaleIsOn_thenALargerProfileIsChosen() {
        world.database.tell(new Database.Change(
                new io.spg99.lifecycle.model.Tunables(
                        Duration.ofMinutes(5), true, Profile.L1, Profile.L5, PoolMode.TRANSACTION),
                Optional.empty(),
                world.replies.getRef()));
        world.accepted();
        world.say(new PoolsEvent.Queue(3));
        for (int second = 0; second < 8; second++) {
            world.timePasses(Duration.ofSeconds(1));
            world.say(new GenerationEvent.Load(2, Duration.ofMillis(10L * second), 100L << 20, 0, 0));
        }
        await("chosen")
                .until(() -> world.written().stream()
                        .anyMatch(event -> event instanceof DatabaseEvent.ProfileChosen chosen
                                && chosen.profile() == Profile.L2
                                && chosen.reason().contains("clients wait for connections")));
    }
}
