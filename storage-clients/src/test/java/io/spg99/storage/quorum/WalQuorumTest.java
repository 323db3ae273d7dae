package io.spg99.storage.quorum;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.safekeeper.SafekeeperCommand;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.SafekeeperReply;
import io.spg99.storage.safekeeper.SafekeeperReply.Promised;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class WalQuorumTest {

    private static final SafekeeperId SK1 = SafekeeperId.ALL.get(0);
    private static final SafekeeperId SK2 = SafekeeperId.ALL.get(1);
    private static final SafekeeperId SK3 = SafekeeperId.ALL.get(2);
    private static final TimelineId TIMELINE = new TimelineId("00112233445566778899aabbccddeeff");
    private static final Lsn START = new Lsn(0x100000);
    private static final TimelineBase BASE = new TimelineBase(TIMELINE, 1, 1 << 20, START, new byte[100]);
    private static final WriterAddress WRITER = new WriterAddress("localhost", 1);
    private static final WalQuorumSettings QUICK = new WalQuorumSettings(
            Duration.ofMillis(800),
            Duration.ofMillis(100),
            Duration.ofMillis(200),
            Duration.ofMillis(20),
            Duration.ofMillis(100));

    private final ActorTestKit kit = ActorTestKit.create();
    private final Map<SafekeeperId, TestProbe<SafekeeperCommand>> probes = new HashMap<>();
    private final TestProbe<QuorumReply> asker = kit.createTestProbe(QuorumReply.class);
    private final TestProbe<QuorumEvent> owner = kit.createTestProbe(QuorumEvent.class);
    private final TestProbe<QuorumEvent.Chosen> choices = kit.createTestProbe(QuorumEvent.Chosen.class);
    private final TestProbe<QuorumEvent.Advanced> advances = kit.createTestProbe(QuorumEvent.Advanced.class);

    /** Hears of everything; what is said often goes elsewhere. */
    private final ActorRef<QuorumEvent> listener = kit.spawn(Behaviors.receiveMessage(event -> {
        switch (event) {
            case QuorumEvent.Advanced advanced -> advances.getRef().tell(advanced);
            case QuorumEvent.Chosen chosen -> choices.getRef().tell(chosen);
            case QuorumEvent.Unfollowable unfollowable -> owner.getRef().tell(unfollowable);
            case QuorumEvent.Waiting waiting -> owner.getRef().tell(waiting);
        }
        return Behaviors.same();
    }));

    private final ActorRef<QuorumCommand> quorum;

    WalQuorumTest() {
        Map<SafekeeperId, ActorRef<SafekeeperCommand>> reachable = new HashMap<>();
        for (SafekeeperId id : SafekeeperId.ALL) {
            TestProbe<SafekeeperCommand> probe = kit.createTestProbe(SafekeeperCommand.class);
            probes.put(id, probe);
            reachable.put(id, probe.getRef());
        }
        quorum = kit.spawn(WalQuorum.create(BASE, () -> reachable, QUICK));
    }

    @AfterEach
    void stop() {
        kit.shutdownTestKit();
    }

    private static Lsn at(long offset) {
        return START.plus(offset);
    }

    private static WalHistory history() {
        return BASE.history();
    }

    private static WalSource source(SafekeeperId id) {
        return new WalSource(id, id.value(), 1);
    }

    private static Promised promised(SafekeeperId id, int generation, WalHistory history, long flushed) {
        return promised(id, generation, history.last().generation(), history, flushed);
    }

    private static Promised promised(
            SafekeeperId id, int generation, int established, WalHistory history, long flushed) {
        return new Promised(id, TIMELINE, generation, established, history, at(flushed), BASE.start(), source(id));
    }

    /** The next command of that kind; retries of others are passed over. */
    private <T extends SafekeeperCommand> T expect(SafekeeperId id, Class<T> kind) {
        TestProbe<SafekeeperCommand> probe = probes.get(id);
        if (probe == null) {
            throw new IllegalStateException("no such Safekeeper: " + id);
        }
        SafekeeperCommand next = probe.receiveMessage();
        while (!kind.isInstance(next)) {
            next = probe.receiveMessage();
        }
        return kind.cast(next);
    }

    private void promise(SafekeeperId id, int generation, WalHistory history, long flushed) {
        expect(id, SafekeeperCommand.Promise.class).replyTo().tell(promised(id, generation, history, flushed));
    }

    private SafekeeperCommand.Establish establish(SafekeeperId id) {
        SafekeeperCommand.Establish establish = expect(id, SafekeeperCommand.Establish.class);
        establish
                .replyTo()
                .tell(new SafekeeperReply.Established(id, TIMELINE, establish.generation(), establish.end()));
        return establish;
    }

    private QuorumReply.Prepared prepared(int generation) {
        quorum.tell(new QuorumCommand.Prepare(generation, asker.getRef(), listener));
        promise(SK1, generation, history(), 100);
        promise(SK2, generation, history(), 100);
        establish(SK1);
        establish(SK2);
        return asker.expectMessageClass(QuorumReply.Prepared.class);
    }

    private void position(SafekeeperId id, ActorRef<SafekeeperReply> to, int generation, long flushed) {
        to.tell(new SafekeeperReply.Position(id, TIMELINE, generation, generation, at(flushed), true, false));
    }

    // QuorumDecision

    @Test
    void givenAYoungerGeneration_whenChoosing_thenItWinsOverAFurtherPosition() {
        WalHistory old = history().append(2, at(100));
        WalHistory young = history().append(2, at(100)).append(3, at(200));

        QuorumDecision decision =
                QuorumDecision.choose(List.of(promised(SK1, 4, old, 900), promised(SK2, 4, young, 300)));

        assertEquals(at(300), decision.end());
        assertEquals(young, decision.history());
        assertEquals(List.of(source(SK2)), decision.donors());
    }

    @Test
    void givenALogEstablishedForAGenerationWithoutAByte_whenChoosing_thenItWinsOverWhatThatHasLeftOut() {
        WalHistory left = history().append(3, at(100));
        WalHistory chosen = history().append(2, at(100));

        QuorumDecision decision =
                QuorumDecision.choose(List.of(promised(SK1, 7, 3, left, 400), promised(SK2, 7, 6, chosen, 300)));

        assertEquals(at(300), decision.end());
        assertEquals(chosen, decision.history());
        assertEquals(List.of(source(SK2)), decision.donors());
    }

    @Test
    void givenOnePromise_whenChoosing_thenNothingIsDecided() {
        assertThrows(
                IllegalArgumentException.class, () -> QuorumDecision.choose(List.of(promised(SK1, 4, history(), 100))));
    }

    // The conversation

    @Test
    void givenTwoPromises_whenTheThirdIsSilent_thenPreparedAndMayBeServed() {
        QuorumReply.Prepared prepared = prepared(2);

        assertEquals(at(100), prepared.end());
        assertEquals(List.of(source(SK1), source(SK2)), prepared.sources());
        assertEquals(
                at(100), expect(SK1, SafekeeperCommand.QuorumPosition.class).lsn());
    }

    @Test
    void givenOneAnswer_whenTheDeadlinePasses_thenUnavailable() {
        quorum.tell(new QuorumCommand.Prepare(2, asker.getRef(), listener));
        promise(SK1, 2, history(), 100);

        asker.expectMessageClass(QuorumReply.Unavailable.class);
    }

    @Test
    void givenAHigherPromise_whenPreparing_thenSuperseded() {
        quorum.tell(new QuorumCommand.Prepare(2, asker.getRef(), listener));
        SafekeeperCommand.Promise promise = expect(SK1, SafekeeperCommand.Promise.class);
        promise.replyTo().tell(new SafekeeperReply.Refused(SK1, TIMELINE, 2, 7));

        asker.expectMessage(new QuorumReply.Superseded(2, 7));
    }

    @Test
    void givenAnUnknownTimeline_whenPreparing_thenItIsNoVote() {
        quorum.tell(new QuorumCommand.Prepare(2, asker.getRef(), listener));
        promise(SK1, 2, history(), 100);
        expect(SK2, SafekeeperCommand.Promise.class).replyTo().tell(new SafekeeperReply.UnknownTimeline(SK2, TIMELINE));

        asker.expectMessageClass(QuorumReply.Unavailable.class);
    }

    @Test
    void givenAThirdThatIsAhead_whenItsPromiseComesAfterTheChoice_thenWhatItHasMoreIsLeftOut() {
        quorum.tell(new QuorumCommand.Prepare(2, asker.getRef(), listener));
        promise(SK1, 2, history(), 100);
        promise(SK2, 2, history(), 100);
        assertEquals(at(100), establish(SK1).end());
        expect(SK2, SafekeeperCommand.Establish.class);
        promise(SK3, 2, history(), 180);

        assertEquals(at(100), establish(SK2).end());
        assertEquals(
                at(100), asker.expectMessageClass(QuorumReply.Prepared.class).end());
        assertEquals(at(100), establish(SK3).end());
    }

    @Test
    void givenTwoThatAreEqual_whenTheChoiceIsMade_thenTheOwnerHearsOfItFirst() {
        quorum.tell(new QuorumCommand.Prepare(2, asker.getRef(), listener));
        promise(SK1, 2, history(), 100);
        promise(SK2, 2, history(), 100);

        QuorumEvent.Chosen chosen = choices.receiveMessage();
        assertEquals(at(100), chosen.end());
        assertEquals(2, chosen.sources().size());
        asker.expectNoMessage(Duration.ofMillis(20));
    }

    @Test
    void givenOneThatHasToFetch_whenTheChoiceIsMade_thenTheOwnerWaits() {
        quorum.tell(new QuorumCommand.Prepare(2, asker.getRef(), listener));
        promise(SK1, 2, history(), 100);
        promise(SK2, 2, history(), 180);

        establish(SK1);
        establish(SK2);
        asker.expectMessageClass(QuorumReply.Prepared.class);
        choices.expectNoMessage(Duration.ofMillis(20));
    }

    @Test
    void givenAVoteLostWithItsDisk_whenEstablishing_thenAnotherNumberIsNeeded() {
        quorum.tell(new QuorumCommand.Prepare(2, asker.getRef(), listener));
        promise(SK1, 2, history(), 100);
        promise(SK2, 2, history(), 100);
        establish(SK1);
        expect(SK2, SafekeeperCommand.Establish.class)
                .replyTo()
                .tell(new SafekeeperReply.UnknownTimeline(SK2, TIMELINE));

        asker.expectMessage(new QuorumReply.Superseded(2, 2));
    }

    @Test
    void givenAChoice_whenItWasInVainAndIsAskedForAgain_thenAnotherNumberIsNeeded() {
        quorum.tell(new QuorumCommand.Prepare(2, asker.getRef(), listener));
        promise(SK1, 2, history(), 100);
        promise(SK2, 2, history(), 100);
        expect(SK1, SafekeeperCommand.Establish.class);
        asker.expectMessageClass(QuorumReply.Unavailable.class);

        quorum.tell(new QuorumCommand.Prepare(2, asker.getRef(), listener));

        asker.expectMessage(new QuorumReply.Superseded(2, 2));
    }

    @Test
    void givenALogThatWasNeverEstablished_whenThereHasBeenAGeneration_thenTheTwoOthersAreHeard() {
        WalHistory written = history().append(2, at(100));
        quorum.tell(new QuorumCommand.Prepare(4, asker.getRef(), listener));
        promise(SK1, 4, history(), 100);
        promise(SK2, 4, written, 180);
        asker.expectNoMessage(Duration.ofMillis(50));
        promise(SK3, 4, written, 190);

        assertEquals(at(190), establish(SK3).end());
    }

    @Test
    void givenAnEstablishedSafekeeper_whenItIsCreatedAgain_thenItIsRestored() {
        prepared(2);
        expect(SK3, SafekeeperCommand.Promise.class).replyTo().tell(promised(SK2, 2, history(), 100));
        establish(SK1);
        promise(SK3, 2, history(), 100);
        establish(SK3);

        assertEquals(2, expect(SK2, SafekeeperCommand.Restore.class).generation());
    }

    /** Prepares generation 2 and restores sk3. */
    private SafekeeperCommand.Establish restored() {
        prepared(2);
        expect(SK3, SafekeeperCommand.Promise.class).replyTo().tell(new SafekeeperReply.UnknownTimeline(SK3, TIMELINE));
        establish(SK1);
        establish(SK2);

        SafekeeperCommand.Restore restore = expect(SK3, SafekeeperCommand.Restore.class);
        assertEquals(2, restore.generation());
        restore.replyTo().tell(new SafekeeperReply.Restored(SK3, TIMELINE, source(SK3)));
        return establish(SK3);
    }

    @Test
    void givenALostDisk_whenBothOthersConfirm_thenItIsRestoredAndEstablished() {
        assertEquals(List.of(source(SK1), source(SK2)), restored().donors());
    }

    @Test
    void givenAWriter_whenTwoHaveItsFirstRecords_thenFollowingAndTheQuorumPositionMoves() {
        prepared(2);
        quorum.tell(new QuorumCommand.Follow(2, WRITER, asker.getRef(), listener));
        ActorRef<SafekeeperReply> replies =
                expect(SK1, SafekeeperCommand.Attach.class).replyTo();

        position(SK1, replies, 2, 150);
        asker.expectNoMessage(Duration.ofMillis(50));
        position(SK2, replies, 2, 140);
        asker.expectMessage(new QuorumReply.Following(2));

        SafekeeperCommand.QuorumPosition told = expect(SK1, SafekeeperCommand.QuorumPosition.class);
        while (told.lsn().equals(at(100))) {
            told = expect(SK1, SafekeeperCommand.QuorumPosition.class);
        }
        assertEquals(at(140), told.lsn());
        quorum.tell(new QuorumCommand.GetPositions(asker.getRef()));
        assertEquals(
                at(140), asker.expectMessageClass(QuorumReply.Positions.class).quorum());
    }

    private ActorRef<SafekeeperReply> followed(int generation) {
        prepared(generation);
        quorum.tell(new QuorumCommand.Follow(generation, WRITER, asker.getRef(), listener));
        ActorRef<SafekeeperReply> replies =
                expect(SK1, SafekeeperCommand.Attach.class).replyTo();
        position(SK1, replies, generation, 150);
        position(SK2, replies, generation, 140);
        asker.expectMessage(new QuorumReply.Following(generation));
        return replies;
    }

    private static SafekeeperReply stranded(SafekeeperId id, int generation, long flushed) {
        return new SafekeeperReply.Stranded(id, TIMELINE, generation, at(flushed));
    }

    @Test
    void givenAFollowedWriter_whenTwoAreStranded_thenTheOwnerHearsItOnce() {
        ActorRef<SafekeeperReply> replies = followed(2);

        replies.tell(stranded(SK1, 2, 150));
        replies.tell(stranded(SK1, 2, 150));
        owner.expectNoMessage(Duration.ofMillis(50));
        replies.tell(stranded(SK2, 2, 140));
        QuorumEvent.Unfollowable event = owner.expectMessageClass(QuorumEvent.Unfollowable.class);
        assertEquals(2, event.generation());
        assertEquals(
                "the writer no longer has the WAL that its Safekeepers lack: {sk1=0/100096, sk2=0/10008C}",
                event.reason());

        replies.tell(stranded(SK2, 2, 140));
        owner.expectNoMessage(Duration.ofMillis(50));
    }

    @Test
    void givenAStrandedSafekeeper_whenItHasFilledUp_thenAnotherMayBeStrandedWithoutHarm() {
        ActorRef<SafekeeperReply> replies = followed(2);

        replies.tell(stranded(SK2, 2, 140));
        position(SK2, replies, 2, 150);
        replies.tell(stranded(SK1, 2, 150));

        owner.expectNoMessage(Duration.ofMillis(50));
    }

    @Test
    void givenAReconnectThatGaveNothing_whenTheOtherIsStranded_thenBothAre() {
        ActorRef<SafekeeperReply> replies = followed(2);

        replies.tell(stranded(SK2, 2, 140));
        position(SK2, replies, 2, 140);
        replies.tell(stranded(SK1, 1, 150));
        owner.expectNoMessage(Duration.ofMillis(50));
        replies.tell(stranded(SK1, 2, 150));

        owner.expectMessageClass(QuorumEvent.Unfollowable.class);
    }

    @Test
    void givenAFollowedWriter_whenARefusalOfItsOwnPromiseComesLate_thenItIsFollowedStill() {
        prepared(2);
        quorum.tell(new QuorumCommand.Follow(2, WRITER, asker.getRef(), listener));
        ActorRef<SafekeeperReply> replies =
                expect(SK1, SafekeeperCommand.Attach.class).replyTo();
        replies.tell(new SafekeeperReply.Refused(SK2, TIMELINE, 2, 2));

        position(SK1, replies, 2, 150);
        position(SK2, replies, 2, 140);
        asker.expectMessage(new QuorumReply.Following(2));
    }

    @Test
    void givenOneThatOnlySeemedLost_whenAskedAgain_thenItIsLookedAfterAsBefore() {
        prepared(2);
        quorum.tell(new QuorumCommand.Follow(2, WRITER, asker.getRef(), listener));
        ActorRef<SafekeeperReply> replies =
                expect(SK1, SafekeeperCommand.Attach.class).replyTo();
        expect(SK2, SafekeeperCommand.Attach.class);
        replies.tell(new SafekeeperReply.UnknownTimeline(SK2, TIMELINE));

        expect(SK2, SafekeeperCommand.Promise.class).replyTo().tell(new SafekeeperReply.Refused(SK2, TIMELINE, 2, 2));
        establish(SK2);
        expect(SK2, SafekeeperCommand.Attach.class);
    }

    @Test
    void givenARestoredSafekeeper_whenAnotherIsAttached_thenItMayFillFromTheRestored() {
        restored();
        quorum.tell(new QuorumCommand.Follow(2, WRITER, asker.getRef(), listener));

        assertEquals(
                List.of(source(SK2), source(SK3)),
                expect(SK1, SafekeeperCommand.Attach.class).donors());
    }

    @Test
    void givenAFollowedWriter_whenReleased_thenAllAreDetached() {
        prepared(2);
        quorum.tell(new QuorumCommand.Follow(2, WRITER, asker.getRef(), listener));
        quorum.tell(new QuorumCommand.Release(2));

        for (SafekeeperId id : SafekeeperId.ALL) {
            assertEquals(2, expect(id, SafekeeperCommand.Detach.class).generation());
        }
        asker.expectMessageClass(QuorumReply.Unavailable.class);
    }

    @Test
    void givenAFollowedWriter_whenItsWalMovesAndItIsReleased_thenTheOwnerHearsHowFarTwoHaveIt() {
        ActorRef<SafekeeperReply> replies = followed(2);
        QuorumEvent.Advanced begun = advances.receiveMessage();
        assertEquals(new QuorumEvent.Advanced(2, history(), at(100), begun.sources(), true), begun);
        QuorumEvent.Advanced running = advances.receiveMessage();
        assertEquals(at(140), running.end());
        assertEquals(history().append(2, at(100)), running.history());
        assertFalse(running.over());
        advances.expectNoMessage(QUICK.watchInterval().multipliedBy(2));

        quorum.tell(new QuorumCommand.Release(2));
        for (SafekeeperId id : SafekeeperId.ALL) {
            expect(id, SafekeeperCommand.Detach.class);
            expect(id, SafekeeperCommand.GetPosition.class);
        }
        replies.tell(new SafekeeperReply.Position(SK1, TIMELINE, 2, 2, at(200), false, false));
        QuorumEvent.Advanced first = advances.receiveMessage();
        assertEquals(at(140), first.end());
        assertTrue(first.over());
        replies.tell(new SafekeeperReply.Position(SK2, TIMELINE, 2, 2, at(200), false, false));
        assertEquals(at(200), advances.receiveMessage().end());
        // What the writer left may be served now.
        SafekeeperCommand.QuorumPosition served = expect(SK1, SafekeeperCommand.QuorumPosition.class);
        while (!served.lsn().equals(at(200))) {
            served = expect(SK1, SafekeeperCommand.QuorumPosition.class);
        }
    }

    @Test
    void givenTwoFullSafekeepers_whenFollowing_thenTheOwnerHearsThatCommitsWaitUntilOneTakesWalAgain() {
        ActorRef<SafekeeperReply> replies = followed(2);
        advances.receiveMessage();
        assertEquals(at(140), advances.receiveMessage().end());
        position(SK3, replies, 2, 140);
        full(SK1, replies, 200);
        owner.expectNoMessage(QUICK.watchInterval());
        full(SK2, replies, 200);
        QuorumEvent.Waiting waiting = owner.expectMessageClass(QuorumEvent.Waiting.class);
        assertEquals(2, waiting.generation());
        assertTrue(waiting.reason().orElseThrow().contains("sk1, sk2"), waiting.toString());
        // Whoever makes snapshots is told again and again: what it said of the last one may have been lost.
        assertEquals(at(200), advances.receiveMessage().end());
        assertEquals(at(200), advances.receiveMessage().end());

        position(SK1, replies, 2, 200);
        assertEquals(
                Optional.empty(),
                owner.expectMessageClass(QuorumEvent.Waiting.class).reason());
        owner.expectNoMessage(QUICK.watchInterval());
    }

    private static void full(SafekeeperId id, ActorRef<SafekeeperReply> to, long flushed) {
        to.tell(new SafekeeperReply.Position(id, TIMELINE, 2, 2, at(flushed), true, true));
    }

    @Test
    void givenANewTimeline_whenTwoHaveIt_thenCreatedAndDeletedOnlyWhenAllThreeSaySo() {
        quorum.tell(new QuorumCommand.Create(asker.getRef()));
        for (SafekeeperId id : List.of(SK1, SK2)) {
            expect(id, SafekeeperCommand.Create.class).replyTo().tell(new SafekeeperReply.Created(id, TIMELINE));
        }
        asker.expectMessageClass(QuorumReply.Created.class);

        quorum.tell(new QuorumCommand.Delete(asker.getRef()));
        for (SafekeeperId id : List.of(SK1, SK2)) {
            expect(id, SafekeeperCommand.Delete.class).replyTo().tell(new SafekeeperReply.Deleted(id, TIMELINE));
        }
        asker.expectMessageClass(QuorumReply.Unavailable.class);
    }
}
