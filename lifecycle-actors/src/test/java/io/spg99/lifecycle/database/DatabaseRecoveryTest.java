package io.spg99.lifecycle.database;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.compute.generation.GenerationCommand;
import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.pool.PoolsCommand;
import io.spg99.lifecycle.database.event.DatabaseEvent;
import io.spg99.lifecycle.database.event.DatabaseEvent.BaseMade;
import io.spg99.lifecycle.database.event.DatabaseEvent.DatabaseCreated;
import io.spg99.lifecycle.database.event.DatabaseEvent.DeletionStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationEnded;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationReady;
import io.spg99.lifecycle.database.event.DatabaseEvent.GenerationStarting;
import io.spg99.lifecycle.database.event.DatabaseEvent.StoppingStarted;
import io.spg99.lifecycle.database.event.DatabaseEvent.TimelineCreated;
import io.spg99.lifecycle.database.event.DatabaseEvent.TimelineMeasured;
import io.spg99.lifecycle.database.event.StopCause;
import io.spg99.lifecycle.model.Base;
import io.spg99.lifecycle.model.DatabaseView;
import io.spg99.storage.pageserver.PageserverCommand;
import io.spg99.storage.pageserver.PageserverReply;
import io.spg99.storage.quorum.QuorumCommand;
import io.spg99.storage.quorum.QuorumEvent;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** What a new life makes of what the old one has written; deletion; leaving a node. */
class DatabaseRecoveryTest {

    private static final ActorTestKit KIT = ActorTestKit.create(World.CONFIG);

    private static final DatabaseEvent CREATED = new DatabaseCreated(Samples.spec("db"), Samples.AT);
    private static final DatabaseEvent BASE = BaseMade.of(new Base("image-0", Samples.BASE), Samples.AT);
    private static final DatabaseEvent TIMELINE = new TimelineCreated(Samples.AT);
    private static final DatabaseEvent STARTING = new GenerationStarting(2, Samples.AT);
    private static final DatabaseEvent READY =
            new GenerationReady(2, Samples.WRITER, 1, Optional.of(Samples.AT), Samples.AT);
    private static final DatabaseEvent STOPPING = new StoppingStarted(2, StopCause.REQUESTED, Samples.AT);
    private static final DatabaseEvent DELETING = new DeletionStarted(Samples.AT);

    @AfterAll
    static void stop() {
        KIT.shutdownTestKit();
    }

    // ---- creation -----------------------------------------------------------------------------------------------

    @Test
    void givenCreatedOnly_whenRecovered_thenTheBaseIsMadeAndTheCreationFinishes() {
        World world = World.after(KIT, CREATED);
        world.quorum.expectMessageClass(QuorumCommand.Create.class).replyTo().tell(new QuorumReply.Created());
        world.expectWritten(TimelineCreated.class);
        assertEquals(1, world.store.made.get());
    }

    @Test
    void givenABase_whenRecovered_thenItIsNotMadeAgain() {
        World world = World.after(KIT, CREATED, BASE);
        world.quorum.expectMessageClass(QuorumCommand.Create.class).replyTo().tell(new QuorumReply.Created());
        world.expectWritten(TimelineCreated.class);
        assertEquals(0, world.store.made.get());
    }

    @Test
    void givenStorageAndQuorumThatFail_whenCreating_thenItIsRepeatedAndTheCreatorIsAnsweredAtTheEnd() {
        World world = new World(KIT);
        world.store.failures.set(1);
        world.database.tell(new Database.Create(Samples.spec(world.id), world.replies.getRef()));
        world.quorum.expectNoMessage(Duration.ofMillis(100));
        world.timePassesUntilItActs(Duration.ofMillis(100));
        world.quorum
                .expectMessageClass(QuorumCommand.Create.class)
                .replyTo()
                .tell(new QuorumReply.Unavailable("alone"));
        world.quorum.expectNoMessage(Duration.ofMillis(50));
        world.timePassesUntilItActs(Duration.ofMillis(100));
        world.database.tell(new Database.Create(Samples.spec(world.id), world.replies.getRef()));
        world.quorum.expectMessageClass(QuorumCommand.Create.class).replyTo().tell(new QuorumReply.Created());
        assertEquals("stopped", world.accepted().state());
        assertEquals("stopped", world.accepted().state());
    }

    @Test
    void givenCreating_whenSomebodyWaits_thenItWakesWhenItIsComplete() {
        World world = World.after(KIT, CREATED, BASE);
        QuorumCommand.Create create = world.quorum.expectMessageClass(QuorumCommand.Create.class);
        world.demand();
        create.replyTo().tell(new QuorumReply.Created());
        world.boot(2);
    }

    // ---- writers ------------------------------------------------------------------------------------------------

    @Test
    void givenStarting_whenRecovered_thenStoppedAndTheNextNumberIsLarger() {
        lostThenWoken(World.after(KIT, CREATED, BASE, TIMELINE, STARTING));
    }

    @Test
    void givenReady_whenRecovered_thenTheWriterIsTakenToBeLost() {
        lostThenWoken(World.after(KIT, CREATED, BASE, TIMELINE, STARTING, READY));
    }

    @Test
    void givenStopping_whenRecovered_thenStopped() {
        lostThenWoken(World.after(KIT, CREATED, BASE, TIMELINE, STARTING, READY, STOPPING));
    }

    private static void lostThenWoken(World world) {
        world.demand();
        world.boot(3);
        GenerationEnded ended = (GenerationEnded) world.written().stream()
                .filter(GenerationEnded.class::isInstance)
                .findFirst()
                .orElseThrow();
        assertEquals(2, ended.generation());
    }

    @Test
    void givenALifeCutShortAtEachStepOfAWake_whenItBeginsAgain_thenNoNumberIsUsedTwice() {
        World world = new World(KIT);
        world.create();
        world.demand();
        world.expectPrepare(2);
        world.restart();
        world.demand();
        world.prepared(world.expectPrepare(3));
        world.restart();
        world.demand();
        world.prepared(world.expectPrepare(4));
        world.accepting(4);
        world.restart();
        world.wake(5);
        world.restart();
        world.wake(6);
        assertEquals(
                List.of(2, 3, 4, 5, 6),
                world.started.stream().map(spec -> spec.generation()).toList());
    }

    @Test
    void givenAJournalThatFails_whenItWorksAgain_thenTheActorGoesOn() {
        World world = new World(KIT);
        world.create();
        world.journal.failNextPersisted("Database|" + world.id);
        world.demand();
        int before = world.catalog.views.size();
        await("a new life begins").until(() -> {
            world.timePasses(Duration.ofMillis(200));
            return world.catalog.views.size() > before;
        });
        world.wake(2);
    }

    // ---- what is known of the timeline --------------------------------------------------------------------------

    @Test
    void givenAStoppedDatabase_whenRecovered_thenPositionsSizeAndLastUseAreAsBefore() {
        World world = new World(KIT);
        world.create();
        world.wake(2);
        world.say(advanced(5000, false));
        PageserverCommand.Advance advance = world.pageserver.expectMessageClass(PageserverCommand.Advance.class);
        world.database.tell(new Database.Stop(world.replies.getRef()));
        world.accepted();
        world.ended(2, "stopped");
        world.expectState("stopped");
        world.say(advanced(6000, true));
        world.expectWritten(TimelineMeasured.class);
        advance.replyTo().tell(new PageserverReply.Snapshot(advance.timeline(), new Lsn(6000), new Lsn(3000), 123));
        await("the snapshot is seen")
                .until(() -> world.catalog.views.getLast().snapshotLsn().isPresent());
        DatabaseView before = world.catalog.views.getLast();
        assertEquals(Optional.of("0/1770"), before.walLsn());
        assertEquals(Optional.of("0/1770"), before.snapshotLsn());
        assertEquals(Optional.of(123L), before.storageBytes());
        assertTrue(before.lastUsedAt().isPresent());

        int told = world.catalog.views.size();
        world.restart();
        await("the new life shows itself").until(() -> world.catalog.views.size() > told);
        assertEquals(before, world.catalog.views.getLast());
    }

    @Test
    void givenAWriterLostWithItsActor_whenRecovered_thenWhatWasKnownOfItStays() {
        World world = new World(KIT);
        world.create();
        world.wake(2);
        world.say(advanced(5000, false));
        PageserverCommand.Advance advance = world.pageserver.expectMessageClass(PageserverCommand.Advance.class);
        advance.replyTo().tell(new PageserverReply.Snapshot(advance.timeline(), new Lsn(4000), new Lsn(3000), 123));
        world.expectWritten(TimelineMeasured.class);
        world.restart();
        world.expectState("stopped");
        DatabaseView view = world.catalog.views.getLast();
        assertEquals(Optional.of("0/1388"), view.walLsn());
        assertEquals(Optional.of("0/FA0"), view.snapshotLsn());
        assertEquals(Optional.of(123L), view.storageBytes());
        assertTrue(view.lastUsedAt().isPresent(), "somebody had asked for the writer");
    }

    @Test
    void givenAStart_whenASnapshotIsPublished_thenTheStartDoesNotWaitForThatToBeWritten() {
        World world = new World(KIT);
        world.create();
        world.wake(2);
        world.say(advanced(5000, false));
        PageserverCommand.Advance advance = world.pageserver.expectMessageClass(PageserverCommand.Advance.class);
        world.database.tell(new Database.Stop(world.replies.getRef()));
        world.accepted();
        world.ended(2, "stopped");
        world.expectRelease(2);
        world.expectState("stopped");
        world.expectPools(PoolsCommand.WriterGone.class);
        world.demand();
        world.prepared(world.expectPrepare(3));
        advance.replyTo().tell(new PageserverReply.Snapshot(advance.timeline(), new Lsn(5000), new Lsn(3000), 123));
        world.quorum.expectMessageClass(QuorumCommand.Horizon.class);
        world.following(world.accepting(3));
        world.configured(3);
        world.expectReady(3);
        assertTrue(world.written().stream().noneMatch(TimelineMeasured.class::isInstance));
        assertEquals(Optional.of("0/1388"), world.catalog.views.getLast().snapshotLsn(), "but it is seen");
    }

    private static QuorumEvent advanced(long end, boolean over) {
        WalHistory history = WalHistory.of(1, new Lsn(0)).append(2, new Lsn(100));
        return new QuorumEvent.Advanced(2, history, new Lsn(end), List.of(), over);
    }

    // ---- deletion -----------------------------------------------------------------------------------------------

    @Test
    void givenReadyWithConnections_whenDeletedWithoutForce_thenConflict() {
        World world = new World(KIT);
        world.create();
        world.wake(2);
        world.database.tell(new Database.Delete(false, world.replies.getRef()));
        world.expectActivityQuestion().tell(world.activity(3, 1, 0));
        assertTrue(world.replies
                .expectMessageClass(DatabaseReply.Conflict.class)
                .message()
                .contains("3 active"));
        world.expectState("ready");
    }

    @Test
    void givenReady_whenDeletedWithForce_thenKilledAndNothingIsLeft() {
        World world = new World(KIT);
        world.create();
        world.wake(2);
        world.database.tell(new Database.Delete(true, world.replies.getRef()));
        assertEquals("deleting", world.accepted().state());
        assertEquals(
                LeaseEvent.Reason.DELETED,
                world.expectPools(PoolsCommand.WriterGone.class).reason());
        assertEquals(
                "57P03", world.expectPools(PoolsCommand.Refuse.class).answer().sqlState());
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.ended(2, "killed");
        world.expectRelease(2);
        world.quorum.expectMessageClass(QuorumCommand.Delete.class).replyTo().tell(new QuorumReply.Deleted());
        gone(world);
    }

    private static void gone(World world) {
        world.expectWritten(DatabaseEvent.DatabaseDeleted.class);
        world.expectPassivation();
        assertEquals(1, world.store.deleted.get());
        assertEquals(1, world.catalog.removed.get());
        world.database.tell(new Database.Describe(world.replies.getRef()));
        world.replies.expectMessageClass(DatabaseReply.NotFound.class);
    }

    @Test
    void givenFailingCleanUp_whenDeleting_thenEachStepIsRepeatedUntilItWorks() {
        World world = World.after(KIT, CREATED, BASE, TIMELINE, DELETING);
        world.store.failures.set(1);
        world.catalog.failures.set(2);
        world.quorum
                .expectMessageClass(QuorumCommand.Delete.class)
                .replyTo()
                .tell(new QuorumReply.Unavailable("alone"));
        world.quorum.expectNoMessage(Duration.ofMillis(50));
        world.timePassesUntilItActs(Duration.ofMillis(100));
        world.quorum.expectMessageClass(QuorumCommand.Delete.class).replyTo().tell(new QuorumReply.Deleted());
        await("deleted").pollInterval(Duration.ofMillis(20)).until(() -> {
            world.timePasses(Duration.ofSeconds(1));
            return world.written().getLast() instanceof DatabaseEvent.DatabaseDeleted;
        });
        gone(world);
    }

    @Test
    void givenAnyStateBeforeReady_whenDeleted_thenNothingIsLeft() {
        World creating = World.after(KIT, CREATED);
        creating.quorum.expectMessageClass(QuorumCommand.Create.class);
        deleteAndFinish(creating);
        deleteAndFinish(World.after(KIT, CREATED, BASE, TIMELINE));
        World booting = World.after(KIT, CREATED, BASE, TIMELINE);
        booting.demand();
        booting.expectPrepare(2);
        deleteWhileItStarts(booting);
    }

    private static void deleteAndFinish(World world) {
        world.database.tell(new Database.Delete(false, world.replies.getRef()));
        assertEquals("deleting", world.accepted().state());
        world.quorum.expectMessageClass(QuorumCommand.Delete.class).replyTo().tell(new QuorumReply.Deleted());
        gone(world);
    }

    @Test
    void givenAStartingCompute_whenDeleted_thenItIsKilledFirst() {
        World world = new World(KIT);
        world.create();
        world.demand();
        world.prepared(world.expectPrepare(2));
        deleteWhileItStarts(world);
    }

    private static void deleteWhileItStarts(World world) {
        world.database.tell(new Database.Delete(false, world.replies.getRef()));
        assertEquals("deleting", world.accepted().state());
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.ended(2, "killed");
        world.expectRelease(2);
        world.quorum.expectMessageClass(QuorumCommand.Delete.class).replyTo().tell(new QuorumReply.Deleted());
        gone(world);
    }

    @Test
    void givenNothing_whenDeleted_thenItCanNeverBeCreated() {
        World world = new World(KIT);
        world.database.tell(new Database.Delete(true, world.replies.getRef()));
        world.replies.expectMessageClass(DatabaseReply.NotFound.class);
        world.database.tell(new Database.Create(Samples.spec(world.id), world.replies.getRef()));
        world.replies.expectMessageClass(DatabaseReply.Conflict.class);
    }

    @Test
    void givenNothing_whenAGatewayAsks_thenItIsRefused() {
        World world = new World(KIT);
        world.database.tell(new Database.FromGateway(new LeaseCommand.Acquire("gw1", world.gateway.getRef())));
        assertEquals(
                "3D000",
                world.gateway.expectMessageClass(LeaseEvent.Refused.class).sqlState());
    }

    // ---- leaving ------------------------------------------------------------------------------------------------

    @Test
    void givenReady_whenTheActorHasToLeave_thenTheWriterStopsInOrderFirst() {
        World world = new World(KIT);
        world.create();
        world.wake(2);
        world.database.tell(Database.Leave.INSTANCE);
        assertEquals(
                LeaseEvent.Reason.WRITER_LOST,
                world.expectPools(PoolsCommand.WriterGone.class).reason());
        world.generation.expectMessage(GenerationCommand.Stop.INSTANCE);
        world.ended(2, "stopped");
        world.expectStopped();
        assertTrue(world.written().getLast() instanceof GenerationEnded ended && ended.orderly());
    }

    @Test
    void givenAWriterThatDoesNotStop_whenTheActorHasToLeave_thenItGoesInTimeAllTheSame() {
        World world = new World(KIT);
        world.create();
        world.wake(2);
        world.database.tell(Database.Leave.INSTANCE);
        world.generation.expectMessage(GenerationCommand.Stop.INSTANCE);
        world.timePasses(Duration.ofSeconds(5));
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.timePasses(Duration.ofSeconds(5));
        world.expectStopped();
    }

    @Test
    void givenBooting_whenTheActorHasToLeave_thenTheStartIsCancelled() {
        World world = new World(KIT);
        world.create();
        world.demand();
        world.expectPrepare(2);
        world.database.tell(Database.Leave.INSTANCE);
        world.generation.expectMessage(GenerationCommand.Kill.INSTANCE);
        world.ended(2, "killed");
        world.expectStopped();
        assertTrue(world.written().getLast() instanceof GenerationEnded);
    }

    @Test
    void givenStopped_whenNobodyComesForLong_thenTheActorLeavesMemory() {
        World world = new World(KIT);
        world.create();
        world.expectState("stopped");
        world.timePasses(Duration.ofMinutes(5));
        world.expectPassivation();
        world.database.tell(Database.Leave.INSTANCE);
        world.expectStopped();
    }

    @Test
    void givenStoppedAndSomebodyWaiting_whenThePassivationTimeIsOver_thenTheActorStays() {
        World world = new World(KIT);
        world.create();
        world.acquire();
        world.timePasses(Duration.ofMinutes(5));
        world.expectActivityQuestion().tell(world.activity(0, 0, 1));
        world.shard.expectNoMessage(Duration.ofMillis(50));
    }

    // ---- promises ahead of a wake -------------------------------------------------------------------------------

    private static final WalHistory LINEAGE =
            WalHistory.of(1, Samples.BASE.start()).append(2, Samples.BASE.end());
    private static final QuorumEvent.Advanced LAST =
            new QuorumEvent.Advanced(2, LINEAGE, new Lsn(5000), List.of(), true);

    /** Generation 2 has run and stopped, and its last WAL is accounted for. */
    private static World stopped() {
        World world = new World(KIT);
        world.create();
        world.wake(2);
        world.database.tell(new Database.Stop(world.replies.getRef()));
        world.accepted();
        world.expectPools(PoolsCommand.WriterGone.class);
        world.ended(2, "stopped");
        world.expectRelease(2);
        world.expectState("stopped");
        world.say(LAST);
        return world;
    }

    @Test
    void givenPromisesAhead_whenWoken_thenTheComputeRecoversAtOnceAndNobodyIsAskedAgain() {
        World world = stopped();
        QuorumCommand.Prepare ahead = world.expectPrepare(3);
        ahead.replyTo().tell(new QuorumReply.Prepared(3, LINEAGE, new Lsn(5000), List.of()));
        world.demand();
        await("generation 3 recovers").until(() -> world.recovering.contains(3));
        world.following(world.accepting(3));
        world.configured(3);
        assertEquals(3, world.expectPools(PoolsCommand.WriterReady.class).generation());
        world.expectReady(3);
    }

    @Test
    void givenPromisesUnderWay_whenWoken_thenTheirAnswerIsWaitedFor() {
        World world = stopped();
        QuorumCommand.Prepare ahead = world.expectPrepare(3);
        world.demand();
        world.expectWritten(GenerationStarting.class);
        world.prepared(ahead);
        world.following(world.accepting(3));
        world.configured(3);
        world.expectReady(3);
    }

    @Test
    void givenPromisesThatCouldNotBeHad_whenWoken_thenAnotherNumberIsTaken() {
        World world = stopped();
        world.expectPrepare(3).replyTo().tell(new QuorumReply.Unavailable("none answers"));
        world.demand();
        world.boot(4);
    }

    @Test
    void givenAnotherLifeThatMayHaveAskedForPromises_whenWoken_thenItsNumberIsNotUsed() {
        World world = stopped();
        world.expectPrepare(3);
        world.restart();
        world.demand();
        world.boot(4);
    }

    @Test
    void givenPromisesAhead_whenTheQuorumIsLost_thenAnotherNumberIsTaken() {
        World world = stopped();
        QuorumCommand.Prepare ahead = world.expectPrepare(3);
        ahead.replyTo().tell(new QuorumReply.Prepared(3, LINEAGE, new Lsn(5000), List.of()));
        world.killQuorum();
        world.quorum.expectNoMessage(Duration.ofMillis(100));
        world.demand();
        world.boot(4);
    }
}
