package io.spg99.gateway.lease;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.ManualTime;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** The lease of one database on one Gateway, asked for through the registry as sessions do. */
class GatewayDatabaseTest {

    private static final Duration TTL = Duration.ofSeconds(9);
    private static final Duration RETRY = Duration.ofSeconds(1);
    private static final Duration RECONNECT = Duration.ofMillis(100);
    private static final Duration A_MOMENT = Duration.ofMillis(50);
    private static final LeaseEvent.Refused REFUSED = new LeaseEvent.Refused("58000", "in error", "");

    private final ActorTestKit actors = ActorTestKit.create(ManualTime.config());
    private final ManualTime time = ManualTime.get(actors.system());
    private final TestProbe<LeaseCommand> database = actors.createTestProbe();
    private final SimpleMeterRegistry meters = new SimpleMeterRegistry();
    private final ActorRef<GatewayRegistry.Command> registry = actors.spawn(GatewayRegistry.create(
            new LeaseSettings("gw", RETRY, RECONNECT),
            (id, command) -> database.ref().tell(command),
            new LeaseMetrics(meters)));

    @AfterEach
    void stop() {
        actors.shutdownTestKit();
    }

    /** A session that reports what it is told. */
    private class Session implements LeaseHolder {
        private final TestProbe<Object> told = actors.createTestProbe();

        @Override
        public void coming(LeaseEvent.Coming coming) {
            told.ref().tell(coming);
        }

        @Override
        public void granted(Lease lease) {
            told.ref().tell(lease);
        }

        @Override
        public void frozen(LeaseEvent.Frozen frozen) {
            told.ref().tell(frozen);
        }

        @Override
        public void resumed(LeaseEvent.Resumed resumed) {
            told.ref().tell(resumed);
        }

        @Override
        public void refused(LeaseEvent.Refused refusal) {
            told.ref().tell(refusal);
        }

        @Override
        public void revoked(int generation, LeaseEvent.Reason reason) {
            told.ref().tell(new LeaseEvent.Revoked(generation, reason));
        }

        Session checkout() {
            registry.tell(new GatewayRegistry.Checkout("db", this, 1));
            return this;
        }

        void done() {
            registry.tell(new GatewayRegistry.Return("db", this));
        }

        void connectFailed(int generation) {
            registry.tell(new GatewayRegistry.ConnectFailed("db", this, generation));
        }

        void expectLease(int generation) {
            told.expectMessage(new Lease(generation, new WriterLocation("host", 5432, Optional.empty()), 90));
        }
    }

    private static LeaseEvent.Coming coming(int generation) {
        return new LeaseEvent.Coming(generation, new WriterLocation("host", 5432, Optional.empty()));
    }

    private static LeaseEvent granted(int generation) {
        return new LeaseEvent.Granted(generation, new WriterLocation("host", 5432, Optional.empty()), TTL, 90);
    }

    private static LeaseEvent.Revoked lost(int generation) {
        return new LeaseEvent.Revoked(generation, LeaseEvent.Reason.WRITER_LOST);
    }

    private ActorRef<LeaseEvent> expectAcquire() {
        return database.expectMessageClass(LeaseCommand.Acquire.class).replyTo();
    }

    private void expectRenew(int generation, int connections) {
        LeaseCommand.Renew renew = database.expectMessageClass(LeaseCommand.Renew.class);
        assertEquals(generation, renew.generation());
        assertEquals(connections, renew.connections());
    }

    /** A session with a lease on generation 2; the reference to answer the Gateway at. */
    private ActorRef<LeaseEvent> leased(Session session) {
        session.checkout();
        ActorRef<LeaseEvent> gateway = expectAcquire();
        gateway.tell(granted(2));
        session.expectLease(2);
        expectRenew(2, 1);
        return gateway;
    }

    @Test
    void givenManySessions_whenWaking_thenOneAcquireAndAllAreGranted() {
        Session one = new Session().checkout();
        Session two = new Session().checkout();
        ActorRef<LeaseEvent> gateway = expectAcquire();
        database.expectNoMessage(A_MOMENT);
        gateway.tell(granted(2));
        one.expectLease(2);
        two.expectLease(2);
        expectRenew(2, 2);
        new Session().checkout().expectLease(2);
        database.expectNoMessage(A_MOMENT);
        assertEquals(1, meters.get("spg99.lease.active").gauge().value());
        assertEquals(1, meters.get("spg99.lease.acquire").counter().count());
    }

    @Test
    void givenWaitingSessions_whenAWriterComes_thenEachIsToldOnceAndThenGranted() {
        Session one = new Session().checkout();
        ActorRef<LeaseEvent> gateway = expectAcquire();
        gateway.tell(coming(2));
        gateway.tell(coming(2));
        one.told.expectMessage(coming(2));
        one.told.expectNoMessage(A_MOMENT);
        Session two = new Session().checkout();
        two.told.expectMessage(coming(2));
        gateway.tell(granted(2));
        one.expectLease(2);
        two.expectLease(2);
        expectRenew(2, 2);
        gateway.tell(coming(2));
        gateway.tell(coming(3));
        one.told.expectNoMessage(A_MOMENT);
    }

    @Test
    void givenAHerd_whenAWriterComes_thenOnlyTheFirstMayConnectAheadAndAllAreGranted() {
        List<Session> first = herd(GatewayDatabase.MAX_AHEAD - 1);
        ActorRef<LeaseEvent> gateway = expectAcquire();
        gateway.tell(coming(2));
        first.forEach(session -> session.told.expectMessage(coming(2)));
        Session last = new Session().checkout();
        last.told.expectMessage(coming(2));
        Session tooMany = new Session().checkout();
        tooMany.told.expectNoMessage(A_MOMENT);
        gateway.tell(granted(2));
        first.forEach(session -> session.expectLease(2));
        last.expectLease(2);
        tooMany.expectLease(2);
    }

    private List<Session> herd(int size) {
        return Stream.generate(() -> new Session().checkout()).limit(size).toList();
    }

    @Test
    void givenAWriterThatComes_whenAnotherOneDoesInstead_thenTheNewOneIsSaidAndOldWordsAreIgnored() {
        Session session = new Session().checkout();
        ActorRef<LeaseEvent> gateway = expectAcquire();
        gateway.tell(coming(2));
        session.told.expectMessage(coming(2));
        gateway.tell(coming(3));
        session.told.expectMessage(coming(3));
        gateway.tell(coming(2));
        gateway.tell(granted(4));
        session.expectLease(4);
    }

    @Test
    void givenAWriterThatComes_whenRevoked_thenThoseWhoWaitDropIt() {
        Session session = new Session().checkout();
        ActorRef<LeaseEvent> gateway = expectAcquire();
        gateway.tell(coming(2));
        session.told.expectMessage(coming(2));
        gateway.tell(lost(2));
        session.told.expectMessage(lost(2));
        gateway.tell(coming(2));
        Session next = new Session().checkout();
        next.told.expectNoMessage(A_MOMENT);
        gateway.tell(granted(3));
        session.expectLease(3);
        next.expectLease(3);
    }

    @Test
    void givenAWriterThatComes_whenEverybodyHasGone_thenItIsForgotten() {
        Session session = new Session().checkout();
        ActorRef<LeaseEvent> gateway = expectAcquire();
        gateway.tell(coming(2));
        session.told.expectMessage(coming(2));
        session.done();
        database.expectMessage(new LeaseCommand.Release("gw", LeaseCommand.Release.ANY_GENERATION));
        gateway.tell(coming(3));
        Session next = new Session().checkout();
        expectAcquire();
        next.told.expectNoMessage(A_MOMENT);
    }

    @Test
    void givenLostMessages_whenWaiting_thenAcquireIsRepeated() {
        Session session = new Session().checkout();
        expectAcquire();
        time.timePasses(RETRY);
        expectAcquire();
        time.timePasses(RETRY);
        expectAcquire().tell(granted(2));
        session.expectLease(2);
        expectRenew(2, 1);
        time.expectNoMessageFor(RETRY, database);
    }

    @Test
    void givenLease_whenTimePasses_thenItIsRenewedThreeTimesPerTtl() {
        leased(new Session());
        time.timePasses(TTL.dividedBy(3));
        expectRenew(2, 1);
        time.timePasses(TTL.dividedBy(3));
        expectRenew(2, 1);
    }

    @Test
    void givenUncountedSession_thenItIsNotCounted() {
        Session exporter = new Session();
        registry.tell(new GatewayRegistry.Checkout("db", exporter, 0));
        expectAcquire().tell(granted(2));
        exporter.expectLease(2);
        expectRenew(2, 0);
        new Session().checkout().expectLease(2);
        expectRenew(2, 1);
    }

    @Test
    void givenLastSession_whenItEnds_thenReleaseAndTheNextOneAcquires() {
        Session session = new Session();
        leased(session);
        session.done();
        database.expectMessage(new LeaseCommand.Release("gw", 2));
        time.expectNoMessageFor(TTL, database);
        assertEquals(0, meters.get("spg99.lease.active").gauge().value());
        new Session().checkout();
        expectAcquire();
    }

    @Test
    void givenOnlyWaiter_whenItGivesUp_thenTheWishIsWithdrawnAndALateGrantGivenBack() {
        Session session = new Session().checkout();
        expectAcquire();
        session.done();
        database.expectMessage(new LeaseCommand.Release("gw", LeaseCommand.Release.ANY_GENERATION));
        time.expectNoMessageFor(RETRY.multipliedBy(2), database);
        session.told.expectNoMessage(A_MOMENT);
    }

    @Test
    void givenSessions_whenRevoked_thenToldAndNothingIsAskedFor() {
        Session session = new Session();
        ActorRef<LeaseEvent> gateway = leased(session);
        gateway.tell(new LeaseEvent.Revoked(2, LeaseEvent.Reason.STOPPED));
        session.told.expectMessage(new LeaseEvent.Revoked(2, LeaseEvent.Reason.STOPPED));
        session.done();
        time.expectNoMessageFor(TTL, database);
    }

    @Test
    void givenSessionThatOnlyConnects_whenRevoked_thenItWaitsForTheNextGeneration() {
        Session session = new Session();
        ActorRef<LeaseEvent> gateway = leased(session);
        gateway.tell(lost(2));
        session.told.expectMessage(lost(2));
        session.connectFailed(2);
        time.timePasses(RECONNECT);
        gateway = expectAcquire();
        gateway.tell(granted(2));
        session.told.expectNoMessage(A_MOMENT);
        gateway.tell(granted(3));
        session.expectLease(3);
    }

    @Test
    void givenConnectFailure_whenTheLeaseIsConfirmed_thenItIsTriedAgain() {
        Session session = new Session();
        ActorRef<LeaseEvent> gateway = leased(session);
        session.connectFailed(2);
        database.expectNoMessage(A_MOMENT);
        time.timePasses(RECONNECT);
        expectAcquire();
        gateway.tell(granted(2));
        session.expectLease(2);
    }

    @Test
    void givenGrantOfTheNextGeneration_whenTheRevocationWasLost_thenOldSessionsAreTold() {
        Session old = new Session();
        ActorRef<LeaseEvent> gateway = leased(old);
        gateway.tell(granted(3));
        old.told.expectMessage(lost(2));
        new Session().checkout().expectLease(3);
    }

    @Test
    void givenRefusal_thenEverybodyWaitingIsRefused() {
        Session one = new Session().checkout();
        Session two = new Session().checkout();
        ActorRef<LeaseEvent> gateway = expectAcquire();
        gateway.tell(coming(2));
        one.told.expectMessage(coming(2));
        two.told.expectMessage(coming(2)); // it waits
        gateway.tell(REFUSED);
        one.told.expectMessage(REFUSED);
        two.told.expectMessage(REFUSED);
        one.done();
        two.done();
        time.expectNoMessageFor(RETRY, database);
    }

    @Test
    void givenLease_whenFrozen_thenWhatHoldersSayIsPassedOnUntilResumed() {
        Session one = new Session().checkout();
        ActorRef<LeaseEvent> replyTo = expectAcquire();
        replyTo.tell(granted(2));
        one.expectLease(2);
        expectRenew(2, 1);
        Session two = new Session().checkout();
        two.expectLease(2);
        LeaseEvent.Frozen freeze = new LeaseEvent.Frozen(2, 1, Duration.ofSeconds(5));
        replyTo.tell(freeze);
        one.told.expectMessage(freeze);
        two.told.expectMessage(freeze);
        registry.tell(new GatewayRegistry.Draining("db", one, 1, 3, 0));
        registry.tell(new GatewayRegistry.Draining("db", two, 1, 1, 1));
        database.expectMessage(new LeaseCommand.Draining("gw", 2, 1, 4, 1));
        registry.tell(new GatewayRegistry.Draining("db", two, 1, 0, 0));
        database.expectMessage(new LeaseCommand.Draining("gw", 2, 1, 3, 0));
        LeaseEvent.Resumed resumed = new LeaseEvent.Resumed(2, 1);
        replyTo.tell(resumed);
        one.told.expectMessage(resumed);
        replyTo.tell(freeze);
        one.told.expectNoMessage();
    }

    @Test
    void givenFailureOfTheActor_thenItsSessionsAreClosedAndTheNextOneWorks() {
        Session session = new Session();
        leased(session);
        Session broken = new Session() {
            @Override
            public void granted(Lease lease) {
                throw new IllegalStateException("by the test");
            }
        };
        broken.checkout();
        session.told.expectMessage(new LeaseEvent.Revoked(Integer.MAX_VALUE, LeaseEvent.Reason.WRITER_LOST));
        database.expectMessage(new LeaseCommand.Release("gw", 2));
        Session next = new Session();
        // Until the registry has heard of the failure, a checkout still goes to the dead actor.
        LeaseCommand.Acquire acquire = database.awaitAssert(Duration.ofSeconds(10), () -> {
            next.checkout();
            return database.expectMessageClass(LeaseCommand.Acquire.class, Duration.ofMillis(200));
        });
        acquire.replyTo().tell(granted(2));
        next.expectLease(2);
    }
}
