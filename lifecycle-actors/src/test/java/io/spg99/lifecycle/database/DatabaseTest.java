package io.spg99.lifecycle.database;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.spg99.compute.generation.GenerationCommand;
import io.spg99.compute.generation.GenerationEvent;
import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.lease.WriterLocation;
import io.spg99.gateway.login.PoolMode;
import io.spg99.gateway.pool.PoolsCommand;
import io.spg99.gateway.pool.PoolsEvent;
import io.spg99.lifecycle.database.event.DatabaseEvent;
import io.spg99.lifecycle.model.DatabaseView;
import io.spg99.lifecycle.model.Profile;
import io.spg99.lifecycle.model.Tunables;
import io.spg99.storage.pageserver.PageserverCommand;
import io.spg99.storage.pageserver.PageserverReply;
import io.spg99.storage.quorum.QuorumCommand;
import io.spg99.storage.quorum.QuorumEvent;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Wake, stop, loss and their races, with fakes for everything around the actor. */
class DatabaseTest {

    private static final ActorTestKit KIT = ActorTestKit.create(World.CONFIG);

    private final World world = new World(KIT);

    @AfterEach
    void endOfWorld() {
        world.close();
    }

    @AfterAll
    static void stop() {
        KIT.shutdownTestKit();
    }

    private static List<String> kinds(List<DatabaseEvent> events) {
        return events.stream().map(event -> event.getClass().getSimpleName()).toList();
    }

    @Test
    void givenNothing_whenCreated_thenStoppedAfterTheTimelineExists() {
        world.create();
        assertEquals(List.of("DatabaseCreated", "BaseMade", "TimelineCreated"), kinds(world.written()));
        world.expectState("stopped");
        assertEquals(3L, world.catalog.sequences.getLast());
    }

    @Test
    void givenStopped_whenSomebodyWaits_thenOneGenerationStartsAndIsAnnounced() {
        world.create();
        world.wake(2);
        assertEquals(
                List.of("DatabaseCreated", "BaseMade", "TimelineCreated", "GenerationStarting", "GenerationReady"),
                kinds(world.written()));
        assertEquals(2, world.started.getFirst().generation());
        assertEquals("image-1", world.started.getFirst().image());
        assertEquals("tnt_0123456789", world.started.getFirst().roleName());
        await("measured").until(() -> world.meters.getMeters().size() == 6);
        assertEquals(
                1,
                world.meters
                        .get("spg99.cold.start")
                        .tag("phase", "total")
                        .timer()
                        .count());
        assertEquals(
                1,
                world.meters
                        .get("spg99.cold.start")
                        .tag("phase", "follow")
                        .timer()
                        .count());
        assertEquals(
                1,
                world.meters
                        .get("spg99.cold.start")
                        .tag("phase", "postgres")
                        .timer()
                        .count());
    }

    @Test
    void givenBooting_whenManyMoreAskForAWriter_thenItIsStartedOnce() {
        world.create();
        world.demand();
        QuorumCommand.Prepare prepare = world.expectPrepare(2);
        world.demand();
        world.database.tell(new Database.Start(world.replies.getRef()));
        assertEquals("booting", world.accepted().state());
        world.prepared(prepare);
        world.demand();
        world.following(world.accepting(2));
        world.configured(2);
        world.expectPools(PoolsCommand.WriterReady.class);
        world.expectReady(2);
        world.demand();
        assertEquals(1, world.started.size());
        world.quorum.expectNoMessage(Duration.ofMillis(50));
    }

    @Test
    void givenConfiguredFirst_whenTheSafekeepersFollow_thenReadyWhileClientsAreInAlready() {
        world.create();
        world.demand();
        world.prepared(world.expectPrepare(2));
        QuorumCommand.Follow follow = world.accepting(2);
        world.expectPools(PoolsCommand.WriterComing.class);
        world.configured(2);
        assertEquals(2, world.expectPools(PoolsCommand.WriterReady.class).generation());
        world.expectState("booting");
        world.following(follow);
        world.expectReady(2);
        world.pools.expectNoMessage(Duration.ofMillis(50));
    }

    @Test
    void givenClientsThatAreIn_whenTheSafekeepersDoNotFollow_thenTheyAreCutOffAndTheNextGenerationStarts() {
        world.create();
        world.demand();
        world.prepared(world.expectPrepare(2));
        QuorumCommand.Follow follow = world.accepting(2);
        world.configured(2);
        world.expectPools(PoolsCommand.WriterReady.class);
        follow.replyTo().tell(new QuorumReply.Unavailable("none answers"));
        assertEquals(
                LeaseEvent.Reason.WRITER_LOST,
                world.expectPools(PoolsCommand.WriterGone.class).reason());
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.ended(2, "killed");
        world.expectRelease(2);
        world.timePasses(Duration.ofSeconds(10));
        world.expectPrepare(3);
    }

    @Test
    void givenPromisesThatDoNotHoldYet_whenTheServerAcceptsAndIsConfigured_thenNobodyIsLetIn() {
        world.create();
        world.demand();
        world.expectPrepare(2);
        world.say(new GenerationEvent.Accepting(2, Samples.WRITER));
        world.configured(2);
        world.pools.expectNoMessage(Duration.ofMillis(50));
    }

    @Test
    void givenSomebodyWaiting_whenTheServerAccepts_thenThePoolsKnowWhatComesOnceAndOfThisGenerationOnly() {
        world.create();
        world.demand();
        world.prepared(world.expectPrepare(2));
        world.pools.expectNoMessage(Duration.ofMillis(20));
        QuorumCommand.Follow follow = world.accepting(2);
        assertEquals(
                new PoolsCommand.WriterComing(
                        2, new WriterLocation(Samples.WRITER.host(), Samples.WRITER.port(), Optional.empty())),
                world.expectPools(PoolsCommand.WriterComing.class));
        world.following(follow);
        world.configured(2);
        assertEquals(2, world.expectPools(PoolsCommand.WriterReady.class).generation());
        world.expectWritten(DatabaseEvent.GenerationReady.class);
        world.say(new GenerationEvent.Accepting(2, Samples.WRITER));
        world.pools.expectNoMessage(Duration.ofMillis(50));
    }

    @Test
    void givenAWriterThatComes_whenItEndsBeforeReady_thenThatIsTakenBackAndTheNextOneIsSaidToCome() {
        world.create();
        world.demand();
        world.prepared(world.expectPrepare(2));
        world.accepting(2);
        world.expectPools(PoolsCommand.WriterComing.class);
        world.ended(2, "crash");
        world.expectRelease(2);
        world.expectPools(PoolsCommand.WriterGone.class);
        world.expectWritten(DatabaseEvent.GenerationFailed.class);
        world.say(new GenerationEvent.Accepting(2, Samples.WRITER));
        world.pools.expectNoMessage(Duration.ofMillis(20));
        world.timePassesUntilItActs(Duration.ofMillis(100));
        world.prepared(world.expectPrepare(3));
        world.accepting(3);
        assertEquals(3, world.expectPools(PoolsCommand.WriterComing.class).generation());
    }

    @Test
    void givenAWriterThatComes_whenThePoolsAreNew_thenTheyAreToldToo() {
        world.create();
        world.database.tell(new Database.Start(world.replies.getRef()));
        assertEquals("booting", world.accepted().state());
        world.prepared(world.expectPrepare(2));
        world.accepting(2);
        world.database.tell(new Database.FromGateway(new LeaseCommand.Acquire("gw1", world.gateway.getRef())));
        assertEquals(2, world.expectPools(PoolsCommand.WriterComing.class).generation());
        world.expectPools(PoolsCommand.FromGateway.class);
    }

    @Test
    void givenSuperseded_whenPrepared_thenALargerNumberIsWrittenFirst() {
        world.create();
        world.demand();
        QuorumCommand.Prepare prepare = world.expectPrepare(2);
        prepare.replyTo().tell(new QuorumReply.Superseded(2, 7));
        world.prepared(world.expectPrepare(8));
        assertEquals(
                8, world.expectWritten(DatabaseEvent.GenerationStarting.class).generation());
        assertEquals(8, world.started.getLast().generation());
        assertEquals(List.of(8), world.recovering);
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
    }

    @Test
    void givenItsBeginChosen_thenItRecoversAndNobodySeesItBeforeThatIsEstablished() {
        world.create();
        world.demand();
        QuorumCommand.Prepare prepare = world.expectPrepare(2);
        world.chosen(prepare);
        world.say(new GenerationEvent.Accepting(2, Samples.WRITER));
        world.configured(2);
        world.quorum.expectNoMessage(Duration.ofMillis(50));
        world.pools.expectNoMessage(Duration.ZERO);
        world.prepared(prepare);
        world.following(world.quorum.expectMessageClass(QuorumCommand.Follow.class));
        assertEquals(2, world.expectPools(PoolsCommand.WriterComing.class).generation());
        world.expectPools(PoolsCommand.WriterReady.class);
        assertEquals(List.of(2), world.recovering);
    }

    @Test
    void givenItsBeginChosen_whenThatIsNotEstablished_thenItIsThrownAwayWithItsNumber() {
        world.create();
        world.demand();
        QuorumCommand.Prepare prepare = world.expectPrepare(2);
        world.chosen(prepare);
        world.say(new GenerationEvent.Accepting(2, Samples.WRITER));
        prepare.replyTo().tell(new QuorumReply.Unavailable("one of three"));
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.boot(3);
        assertEquals(List.of(2, 3), world.recovering);
    }

    @Test
    void givenNoQuorum_whenSomebodyWaits_thenTheSameGenerationIsPreparedUntilItWorks() {
        world.create();
        world.demand();
        for (int tries = 0; tries < 8; tries++) {
            world.expectPrepare(2).replyTo().tell(new QuorumReply.Unavailable("one of three"));
            world.quorum.expectNoMessage(Duration.ofMillis(20));
            world.timePassesUntilItActs(Duration.ofSeconds(10));
            world.expectActivityQuestion().tell(world.activity(0, 0, 1));
        }
        world.expectState("booting");
        world.boot(2);
    }

    @Test
    void givenNoQuorum_whenNobodyWaitsAnyLonger_thenStopped() {
        world.create();
        world.demand();
        world.expectPrepare(2).replyTo().tell(new QuorumReply.Unavailable("one of three"));
        world.quorum.expectNoMessage(Duration.ofMillis(20));
        world.clock.advance(Duration.ofSeconds(61));
        world.timePassesUntilItActs(Duration.ofMillis(100));
        world.expectActivityQuestion().tell(world.activity(0, 0, 0));
        assertEquals(
                "one of three",
                world.expectWritten(DatabaseEvent.GenerationEnded.class).reason());
        world.expectState("stopped");
    }

    @Test
    void givenAStartThatTakesTooLong_whenTheDeadlinePasses_thenItIsKilledAndTheNextOneStarts() {
        world.create();
        world.demand();
        world.prepared(world.expectPrepare(2));
        world.accepting(2);
        world.expectPools(PoolsCommand.WriterComing.class);
        world.timePassesUntilItActs(Duration.ofSeconds(60));
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.expectPools(PoolsCommand.WriterGone.class);
        world.ended(2, "killed");
        world.expectRelease(2);
        assertTrue(world.expectWritten(DatabaseEvent.GenerationFailed.class)
                .reason()
                .startsWith("not ready in time"));
        world.timePassesUntilItActs(Duration.ofMillis(100));
        world.boot(3);
    }

    @Test
    void givenFiveFailedAttempts_whenTheLastFails_thenErrorAndClientsAreTold() {
        world.create();
        world.demand();
        failFiveTimes(2);
        LeaseEvent.Refused refused =
                world.expectPools(PoolsCommand.Refuse.class).answer();
        assertEquals("58000", refused.sqlState());
        assertTrue(refused.message().contains("disk is full"), refused.message());
        world.expectState("error");
        assertEquals(Optional.of("disk is full"), world.catalog.views.getLast().lastError());
        assertEquals(6, world.catalog.views.getLast().generation());
    }

    private void failFiveTimes(int first) {
        for (int attempt = 0; attempt < 5; attempt++) {
            int generation = first + attempt;
            world.prepared(world.expectPrepare(generation));
            world.ended(generation, "disk is full");
            world.expectRelease(generation);
            if (attempt < 4) {
                assertEquals(
                        generation,
                        world.expectWritten(DatabaseEvent.GenerationFailed.class)
                                .generation());
                world.quorum.expectNoMessage(Duration.ofMillis(20));
                world.timePassesUntilItActs(Duration.ofMillis(100L << attempt));
            }
        }
        world.expectWritten(DatabaseEvent.WakeFailed.class);
    }

    @Test
    void givenError_whenStartedByApi_thenItTriesAgain() {
        world.create();
        world.demand();
        failFiveTimes(2);
        world.expectPools(PoolsCommand.Refuse.class);
        world.database.tell(new Database.Start(world.replies.getRef()));
        assertEquals("booting", world.accepted().state());
        world.expectPools(PoolsCommand.Admit.class);
        world.boot(7);
    }

    @Test
    void givenError_whenThePauseIsOver_thenClientsMayTryAgain() {
        world.create();
        world.demand();
        failFiveTimes(2);
        world.expectPools(PoolsCommand.Refuse.class);
        world.expectState("error");
        world.timePassesUntilItActs(Duration.ofSeconds(30));
        world.expectPools(PoolsCommand.Admit.class);
        world.wake(7);
    }

    @Test
    void givenReady_whenTheWriterDiesUnderItsClients_thenTheNextGenerationStarts() {
        world.create();
        world.wake(2);
        world.timePasses(Duration.ofMinutes(1));
        world.ended(2, "postmaster killed");
        world.expectRelease(2);
        world.expectActivityQuestion().tell(world.activity(3, 1, 0));
        assertEquals(
                LeaseEvent.Reason.WRITER_LOST,
                world.expectPools(PoolsCommand.WriterGone.class).reason());
        world.boot(3);
    }

    @Test
    void givenReady_whenTheWriterDiesAndNobodyCares_thenStopped() {
        world.create();
        world.wake(2);
        world.timePasses(Duration.ofMinutes(1));
        world.ended(2, "postmaster killed");
        world.expectRelease(2);
        world.expectActivityQuestion().tell(world.activity(0, 0, 0));
        world.expectPools(PoolsCommand.WriterGone.class);
        world.expectState("stopped");
        world.quorum.expectNoMessage(Duration.ofMillis(50));
        assertEquals(
                Optional.of("postmaster killed"), world.catalog.views.getLast().lastError());
    }

    @Test
    void givenAWriterThatDiesSoonAfterReady_whenItIsReplaced_thenAfterABackOffOnly() {
        world.create();
        world.wake(2);
        world.ended(2, "crash");
        world.expectRelease(2);
        world.expectActivityQuestion().tell(world.activity(1, 1, 0));
        world.expectPools(PoolsCommand.WriterGone.class);
        world.quorum.expectNoMessage(Duration.ofMillis(50));
        world.timePassesUntilItActs(Duration.ofMillis(100));
        world.boot(3);
    }

    @Test
    void givenReady_whenTheGenerationsActorDies_thenItCountsAsLost() {
        world.create();
        world.wake(2);
        world.timePasses(Duration.ofMinutes(1));
        world.killGeneration(2);
        world.expectRelease(2);
        world.expectActivityQuestion().tell(world.activity(1, 1, 0));
        world.expectPools(PoolsCommand.WriterGone.class);
        world.boot(3);
    }

    @Test
    void givenReady_whenIdle_thenLeasesAreRevokedAndTheWriterStops() {
        world.create();
        world.wake(2);
        world.timePasses(Duration.ofMinutes(5));
        world.say(new PoolsEvent.Idle(2));
        assertEquals(
                LeaseEvent.Reason.STOPPED,
                world.expectPools(PoolsCommand.WriterGone.class).reason());
        world.generation.expectMessage(GenerationCommand.Stop.INSTANCE);
        world.expectState("stopping");
        world.ended(2, "stopped");
        world.expectRelease(2);
        world.expectState("stopped");
        assertEquals(Optional.empty(), world.catalog.views.getLast().lastError());
    }

    @Test
    void givenReady_whenIdleIsOfAnotherGenerationOrCrossesAnAcquire_thenItIsIgnored() {
        world.create();
        world.wake(2);
        world.timePasses(Duration.ofMinutes(5));
        world.say(new PoolsEvent.Idle(1));
        world.acquire();
        world.say(new PoolsEvent.Idle(2));
        world.generation.expectNoMessage(Duration.ofMillis(50));
        assertTrue(world.written().getLast() instanceof DatabaseEvent.GenerationReady);
    }

    @Test
    void givenStopping_whenSomebodyWaits_thenItWakesRightAfter() {
        world.create();
        world.wake(2);
        world.database.tell(new Database.Stop(world.replies.getRef()));
        assertEquals("stopping", world.accepted().state());
        world.expectPools(PoolsCommand.WriterGone.class);
        world.generation.expectMessage(GenerationCommand.Stop.INSTANCE);
        world.demand();
        world.ended(2, "stopped");
        world.expectRelease(2);
        world.boot(3);
    }

    @Test
    void givenAStopThatTakesTooLong_whenDeadlinesPass_thenKilledAndThenTheActorIsStopped() {
        world.create();
        world.wake(2);
        world.database.tell(new Database.Stop(world.replies.getRef()));
        world.generation.expectMessage(GenerationCommand.Stop.INSTANCE);
        world.timePasses(Duration.ofSeconds(30));
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.timePasses(Duration.ofSeconds(10));
        world.expectRelease(2);
        world.expectState("stopped");
    }

    @Test
    void givenTheQuestionForAPromise_whenStopped_thenTheStartIsCancelledAndTheAnswerComesTooLate() {
        world.create();
        world.demand();
        QuorumCommand.Prepare prepare = world.expectPrepare(2);
        world.database.tell(new Database.Stop(world.replies.getRef()));
        assertEquals("stopping", world.accepted().state());
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.expectPools(PoolsCommand.WriterGone.class);
        assertEquals(
                "57P03", world.expectPools(PoolsCommand.Refuse.class).answer().sqlState());
        world.expectPools(PoolsCommand.Admit.class);
        prepare.replyTo().tell(new QuorumReply.Superseded(2, 9));
        world.quorum.expectNoMessage(Duration.ofMillis(50));
        world.ended(2, "killed");
        world.expectRelease(2);
        world.expectState("stopped");
        world.wake(3);
    }

    @Test
    void givenAStartingCompute_whenStopped_thenItIsKilled() {
        world.create();
        world.demand();
        world.prepared(world.expectPrepare(2));
        QuorumCommand.Follow follow = world.accepting(2);
        world.database.tell(new Database.Stop(world.replies.getRef()));
        assertEquals("stopping", world.accepted().state());
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.following(follow);
        world.configured(2);
        world.ended(2, "killed");
        world.expectRelease(2);
        world.expectState("stopped");
    }

    @Test
    void givenAnOlderGenerationsWords_whenTheyComeLate_thenNothingHappens() {
        world.create();
        world.wake(2);
        world.timePasses(Duration.ofMinutes(1));
        world.ended(2, "gone");
        world.expectRelease(2);
        world.expectActivityQuestion().tell(world.activity(1, 1, 0));
        world.expectPools(PoolsCommand.WriterGone.class);
        world.boot(3);
        world.configured(2);
        world.ended(2, "gone again");
        world.say(new PoolsEvent.Idle(2));
        world.generation.expectNoMessage(Duration.ofMillis(50));
        assertEquals(3, world.expectWritten(DatabaseEvent.GenerationReady.class).generation());
    }

    @Test
    void givenReady_whenTheQuorumActorDies_thenANewOneFollowsTheSameWriter() {
        world.create();
        world.wake(2);
        world.killQuorum();
        world.quorum.expectNoMessage(Duration.ofMillis(100));
        world.timePassesUntilItActs(Duration.ofMillis(500));
        assertEquals(
                2, world.quorum.expectMessageClass(QuorumCommand.Follow.class).generation());
    }

    @Test
    void givenAPreparation_whenTheQuorumActorDies_thenItsNumberIsNotPreparedAgain() {
        world.create();
        world.demand();
        world.expectPrepare(2);
        world.killQuorum();
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.ended(2, "killed");
        world.timePassesUntilItActs(Duration.ofSeconds(10));
        world.boot(3);
    }

    @Test
    void givenANewQuorumActorThatCannotFollow_whenReady_thenTheWriterIsReplaced() {
        world.create();
        world.wake(2);
        world.timePasses(Duration.ofMinutes(1));
        world.killQuorum();
        world.quorum.expectNoMessage(Duration.ofMillis(100));
        world.timePassesUntilItActs(Duration.ofMillis(500));
        world.quorum
                .expectMessageClass(QuorumCommand.Follow.class)
                .replyTo()
                .tell(new QuorumReply.Unavailable("generation 2 is not prepared"));
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.ended(2, "killed");
        world.expectRelease(2);
        world.expectActivityQuestion().tell(world.activity(1, 1, 0));
        world.expectPools(PoolsCommand.WriterGone.class);
        world.boot(3);
    }

    @Test
    void givenReady_whenTheWriterCanNoLongerBeFollowed_thenItIsReplacedAndTheReasonIsKnown() {
        world.create();
        world.wake(2);
        world.timePasses(Duration.ofMinutes(1));
        world.say(new QuorumEvent.Unfollowable(1, "of another life"));
        world.generation.expectNoMessage(Duration.ofMillis(50));
        world.say(new QuorumEvent.Unfollowable(2, "WAL is gone"));
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.ended(2, "killed on request");
        world.expectRelease(2);
        world.expectActivityQuestion().tell(world.activity(1, 1, 0));
        world.expectPools(PoolsCommand.WriterGone.class);
        QuorumCommand.Prepare next = world.expectPrepare(3);
        assertEquals(Optional.of("WAL is gone"), world.catalog.views.getLast().lastError());
        world.prepared(next);
        world.following(world.accepting(3));
        world.configured(3);
        world.expectPools(PoolsCommand.WriterReady.class);
        world.expectReady(3);
        world.timePasses(Duration.ofMinutes(1));
        world.ended(3, "postmaster killed");
        world.expectRelease(3);
        world.expectState("stopped");
        assertEquals(
                Optional.of("postmaster killed"), world.catalog.views.getLast().lastError());
    }

    @Test
    void givenAWriter_whenItsCommitsWaitForASnapshot_thenTheReasonIsShownForAsLongAsTheyDo() {
        world.create();
        world.wake(2);
        world.say(new QuorumEvent.Waiting(2, Optional.of("commits wait")));
        assertEquals(
                Optional.of("commits wait"), world.describe(0, new Lsn(5000)).lastError());
        world.say(new QuorumEvent.Waiting(2, Optional.empty()));
        assertEquals(Optional.empty(), world.describe(0, new Lsn(5000)).lastError());
    }

    @Test
    void givenAWriter_whenItsWalAdvances_thenThePageserverHearsOfItAndUsersSeeTheSnapshot() {
        world.create();
        world.wake(2);
        WalHistory history = WalHistory.of(1, new Lsn(0)).append(2, new Lsn(100));
        world.say(new QuorumEvent.Advanced(2, history, new Lsn(5000), List.of(), false));
        PageserverCommand.Advance advance = world.pageserver.expectMessageClass(PageserverCommand.Advance.class);
        assertEquals(new Lsn(5000), advance.end());
        assertEquals(history, advance.history());
        advance.replyTo().tell(new PageserverReply.Snapshot(advance.timeline(), new Lsn(4000), new Lsn(3000), 123));
        assertEquals(
                new QuorumCommand.Horizon(new Lsn(3000)),
                world.quorum.expectMessageClass(QuorumCommand.Horizon.class),
                "Safekeepers may remove what lies before it");
        // The answer is before the question in the actor's mailbox.
        assertEquals(Optional.of("0/FA0"), world.describe(0, new Lsn(5000)).snapshotLsn());
        assertEquals(Optional.of(123L), world.describe(0, new Lsn(5000)).storageBytes());

        advance.replyTo().tell(new PageserverReply.Snapshot(advance.timeline(), new Lsn(3900), new Lsn(2900), 99));
        world.quorum.expectMessageClass(QuorumCommand.Horizon.class);
        assertEquals(
                Optional.of("0/FA0"),
                world.describe(0, new Lsn(5000)).snapshotLsn(),
                "another Pageserver says what it has made before");
    }

    @Test
    void givenAStart_whenItsWriterCannotBeFollowed_thenTheAttemptFailsWithThatReason() {
        world.create();
        world.demand();
        world.prepared(world.expectPrepare(2));
        world.accepting(2);
        world.say(new QuorumEvent.Unfollowable(2, "WAL is gone"));
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.ended(2, "killed on request");
        assertEquals(
                "WAL is gone",
                world.expectWritten(DatabaseEvent.GenerationFailed.class).reason());
    }

    @Test
    void givenAWake_whenMeasured_thenPrometheusSeesItsPhases() {
        PrometheusMeterRegistry meters = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
        new ColdStarts(meters).record(Map.of("total", Duration.ofMillis(300)));
        assertTrue(meters.scrape().contains("spg99_cold_start_seconds_count{phase=\"total\"} 1"), meters.scrape());
    }

    @Test
    void givenACreationThatIsDelayed_whenDescribed_thenTheReasonIsShown() {
        world.database.tell(new Database.Create(Samples.spec(world.id), world.replies.getRef()));
        world.quorum
                .expectMessageClass(QuorumCommand.Create.class)
                .replyTo()
                .tell(new QuorumReply.Unavailable("alone"));
        await("reason shown").until(() -> {
            world.database.tell(new Database.Describe(world.replies.getRef()));
            world.quorum
                    .expectMessageClass(QuorumCommand.GetPositions.class)
                    .replyTo()
                    .tell(new QuorumReply.Positions(1, Lsn.ZERO, Map.of()));
            DatabaseView view = world.replies
                    .expectMessageClass(DatabaseReply.Described.class)
                    .view();
            return view.lastError().equals(Optional.of("alone"));
        });
    }

    @Test
    void givenReady_whenThePoolsDie_thenNewOnesAreToldOfTheWriter() {
        world.create();
        world.wake(2);
        world.killPools();
        world.pools.expectNoMessage(Duration.ofMillis(100));
        world.timePassesUntilItActs(Duration.ofMillis(500));
        assertEquals(2, world.expectPools(PoolsCommand.WriterReady.class).generation());
    }

    @Test
    void givenReady_whenDescribed_thenEveryFieldIsThere() {
        world.create();
        world.wake(2);
        DatabaseView view = world.describe(4, Lsn.parse("0/5000028"));
        assertEquals("ready", view.state());
        assertEquals(2, view.generation());
        assertEquals(4, view.activeConnections());
        assertEquals(1, view.currentScale());
        assertEquals(1, view.targetScale());
        assertEquals(Optional.of("0/5000028"), view.walLsn());
        assertEquals(Optional.of("node-1"), view.workerId());
        assertEquals("5m", view.idleTimeout());
        assertEquals("demo", view.tenant());
        assertEquals("STEADY", view.scaleState());
        assertEquals(Optional.of(world.clock.instant()), view.lastUsedAt());
    }

    @Test
    void givenSilentPools_whenDescribed_thenItIsAnsweredAllTheSame() {
        world.create();
        world.acquire();
        world.database.tell(new Database.Describe(world.replies.getRef()));
        world.expectActivityQuestion();
        world.quorum.expectMessageClass(QuorumCommand.GetPositions.class);
        world.timePasses(Duration.ofSeconds(1));
        assertEquals(
                "stopped",
                world.replies
                        .expectMessageClass(DatabaseReply.Described.class)
                        .view()
                        .state());
    }

    @Test
    void givenAReachableCatalogAgain_whenAWriteHadFailed_thenItIsRepeated() {
        world.catalog.failures.set(100);
        world.create();
        world.catalog.failures.set(0);
        world.timePasses(Duration.ofSeconds(2));
        world.expectState("stopped");
    }

    @Test
    void givenAChange_whenReady_thenThePoolsAreToldAndNothingStops() {
        world.create();
        world.wake(2);
        world.database.tell(new Database.Change(
                new Tunables(Duration.ZERO, false, Profile.L1, Profile.L1, PoolMode.TRANSACTION),
                Optional.empty(),
                world.replies.getRef()));
        assertEquals("never", world.accepted().idleTimeout());
        assertEquals(
                Duration.ZERO,
                world.expectPools(PoolsCommand.SetIdleTimeout.class).idleTimeout());
    }
}
