package io.spg99.gateway.pool;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.lease.WriterLocation;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.Optional;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.ManualTime;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ConnectionPoolsTest {

    private static final Duration TTL = Duration.ofSeconds(6);
    private static final Duration IDLE = Duration.ofSeconds(20);
    private static final Duration A_MOMENT = Duration.ofMillis(50);
    private static final LeaseEvent.Refused REFUSED = new LeaseEvent.Refused("57P03", "being deleted", "");

    private final ActorTestKit actors = ActorTestKit.create(ManualTime.config());
    private final ManualTime time = ManualTime.get(actors.system());
    private final MovingClock clock = new MovingClock();
    private final TestProbe<PoolsEvent> database = actors.createTestProbe();
    private final TestProbe<LeaseEvent> one = actors.createTestProbe();
    private final TestProbe<LeaseEvent> two = actors.createTestProbe();
    private final TestProbe<PoolsEvent.Activity> activities = actors.createTestProbe();
    private final ActorRef<PoolsCommand> pools =
            actors.spawn(ConnectionPools.create(database.ref(), new PoolsSettings(TTL, IDLE, 3, 90), clock));

    @AfterEach
    void stop() {
        actors.shutdownTestKit();
    }

    private static final class MovingClock extends Clock {
        private Instant now = Instant.parse("2026-01-01T00:00:00Z");

        @Override
        public ZoneId getZone() {
            return ZoneOffset.UTC;
        }

        @Override
        public Clock withZone(ZoneId zone) {
            return this;
        }

        @Override
        public synchronized Instant instant() {
            return now;
        }

        synchronized void move(Duration by) {
            now = now.plus(by);
        }
    }

    /** In steps, as time goes. */
    private void pass(Duration duration) {
        Duration step = Duration.ofSeconds(2);
        for (Duration done = Duration.ZERO; done.compareTo(duration) < 0; done = done.plus(step)) {
            clock.move(step);
            time.timePasses(step);
            activity();
        }
    }

    private PoolsEvent.Activity activity() {
        pools.tell(new PoolsCommand.GetActivity(activities.ref()));
        return activities.receiveMessage();
    }

    private void gateway(LeaseCommand command) {
        pools.tell(new PoolsCommand.FromGateway(command));
    }

    private void acquire(String gateway, TestProbe<LeaseEvent> probe) {
        gateway(new LeaseCommand.Acquire(gateway, probe.ref()));
    }

    private void renew(String gateway, int generation, int connections, TestProbe<LeaseEvent> probe) {
        gateway(new LeaseCommand.Renew(gateway, generation, connections, 0, probe.ref()));
    }

    private void ready(int generation) {
        pools.tell(new PoolsCommand.WriterReady(generation, new WriterLocation("host", 5432, Optional.empty())));
    }

    private void coming(int generation) {
        pools.tell(new PoolsCommand.WriterComing(generation, new WriterLocation("host", 5432, Optional.empty())));
    }

    private static LeaseEvent said(int generation) {
        return new LeaseEvent.Coming(generation, new WriterLocation("host", 5432, Optional.empty()));
    }

    private static LeaseEvent granted(int generation) {
        return granted(generation, 90);
    }

    private static LeaseEvent granted(int generation, int share) {
        return new LeaseEvent.Granted(generation, new WriterLocation("host", 5432, Optional.empty()), TTL, share);
    }

    private static LeaseEvent lost(int generation) {
        return new LeaseEvent.Revoked(generation, LeaseEvent.Reason.WRITER_LOST);
    }

    @Test
    void givenAFreezeThatIsNotDrained_whenResumed_thenWhoAskedHearsWhatWasInTheWay() {
        TestProbe<FreezeEvent> freezes = actors.createTestProbe();
        ready(2);
        acquire("gw1", one);
        one.expectMessage(granted(2));
        pools.tell(new PoolsCommand.Freeze(TTL, freezes.ref()));
        int freeze = one.expectMessageClass(LeaseEvent.Frozen.class).freeze();
        gateway(new LeaseCommand.Draining("gw1", 2, freeze, 1, 2));
        pools.tell(PoolsCommand.Resume.INSTANCE);
        freezes.expectMessage(new FreezeEvent.Thawed(2, 1, 2));
        one.expectMessage(new LeaseEvent.Resumed(2, freeze));
    }

    @Test
    void givenAWriterOfAnotherProfile_whenItsConnectionsAreTold_thenEveryGatewayHasItsShare() {
        ready(2);
        acquire("gw1", one);
        one.expectMessage(granted(2));
        pools.tell(new PoolsCommand.SetServerConnections(180));
        one.expectMessage(granted(2, 180));
        pools.tell(new PoolsCommand.SetServerConnections(180));
        one.expectNoMessage(A_MOMENT);
    }

    @Test
    void givenNoWriter_whenManyAcquire_thenOneDemandAndAllAreGranted() {
        acquire("one", one);
        acquire("two", two);
        acquire("one", one);
        database.expectMessage(PoolsEvent.Demand.INSTANCE);
        database.expectNoMessage(A_MOMENT);
        assertEquals(2, activity().waiting());

        ready(2);
        one.expectMessage(granted(2, 45));
        two.expectMessage(granted(2, 45));
        one.expectNoMessage(A_MOMENT);
        assertEquals(0, activity().waiting());
        assertEquals(2, activity().leases());
    }

    @Test
    void givenGatewaysThatComeAndGo_thenEachIsToldItsShareOfTheConnections() {
        ready(2);
        acquire("one", one);
        one.expectMessage(granted(2, 90));
        acquire("two", two);
        two.expectMessage(granted(2, 45));
        one.expectMessage(granted(2, 45));
        gateway(new LeaseCommand.Release("two", 2));
        one.expectMessage(granted(2, 90));
        two.expectNoMessage(A_MOMENT);
    }

    @Test
    void givenWaiting_whenAWriterComes_thenAllAreToldAndStillWait() {
        acquire("one", one);
        coming(2);
        one.expectMessage(said(2));
        acquire("two", two);
        two.expectMessage(said(2));
        assertEquals(2, activity().waiting());
        assertEquals(0, activity().leases());
        ready(2);
        one.expectMessage(granted(2, 45));
        two.expectMessage(granted(2, 45));
        acquire("one", one);
        one.expectMessage(granted(2, 45));
        one.expectNoMessage(A_MOMENT);
    }

    @Test
    void givenAWriterThatComes_whenItIsGoneOrRefused_thenTheNextToWaitIsNotTold() {
        acquire("one", one);
        coming(2);
        one.expectMessage(said(2));
        pools.tell(new PoolsCommand.WriterGone(LeaseEvent.Reason.WRITER_LOST));
        acquire("two", two);
        two.expectNoMessage(A_MOMENT);
        coming(3);
        one.expectMessage(said(3));
        two.expectMessage(said(3));
        pools.tell(new PoolsCommand.Refuse(REFUSED));
        one.expectMessage(REFUSED);
        pools.tell(PoolsCommand.Admit.INSTANCE);
        acquire("one", one);
        one.expectNoMessage(A_MOMENT);
    }

    @Test
    void givenLease_whenAcquiredAgain_thenGrantedAgain() {
        ready(2);
        acquire("one", one);
        acquire("one", one);
        one.expectMessage(granted(2));
        one.expectMessage(granted(2));
        assertEquals(1, activity().leases());
    }

    @Test
    void givenLeases_whenWriterIsGone_thenRevokedAndTheNextAcquireDemands() {
        ready(2);
        acquire("one", one);
        one.expectMessage(granted(2));
        pools.tell(new PoolsCommand.WriterGone(LeaseEvent.Reason.WRITER_LOST));
        one.expectMessage(lost(2));
        acquire("one", one);
        database.expectMessage(PoolsEvent.Demand.INSTANCE);
        ready(3);
        one.expectMessage(granted(3));
    }

    @Test
    void givenLeases_whenTheNextWriterIsReady_thenTheOldOnesAreRevoked() {
        ready(2);
        acquire("one", one);
        one.expectMessage(granted(2));
        ready(3);
        one.expectMessage(lost(2));
        renew("two", 2, 1, two);
        two.expectMessage(lost(2));
    }

    @Test
    void givenForgottenLease_whenRenewed_thenItIsThereAgain() {
        renew("one", 2, 5, one);
        one.expectNoMessage(A_MOMENT);
        ready(2);
        renew("one", 2, 5, one);
        one.expectNoMessage(A_MOMENT);
        assertEquals(5, activity().connections());
    }

    @Test
    void givenLease_whenNotRenewed_thenItExpires() {
        ready(2);
        acquire("one", one);
        renew("one", 2, 1, one);
        pass(TTL.minusSeconds(2));
        renew("one", 2, 1, one);
        pass(TTL.minusSeconds(2));
        assertEquals(1, activity().connections());
        pass(Duration.ofSeconds(4));
        assertEquals(0, activity().leases());
    }

    @Test
    void givenWait_whenNotRepeated_thenForgottenAndTheNextOneDemandsAgain() {
        acquire("one", one);
        database.expectMessage(PoolsEvent.Demand.INSTANCE);
        pass(TTL.plusSeconds(3));
        assertEquals(0, activity().waiting());
        acquire("one", one);
        database.expectMessage(PoolsEvent.Demand.INSTANCE);
    }

    @Test
    void givenWait_whenWithdrawn_thenNoGrant() {
        acquire("one", one);
        gateway(new LeaseCommand.Release("one", LeaseCommand.Release.ANY_GENERATION));
        ready(2);
        one.expectNoMessage(A_MOMENT);
        assertEquals(0, activity().leases());
    }

    @Test
    void givenLateRelease_whenOfAnOlderGeneration_thenTheLeaseStays() {
        ready(3);
        acquire("one", one);
        gateway(new LeaseCommand.Release("one", 2));
        assertEquals(1, activity().leases());
        gateway(new LeaseCommand.Release("one", 3));
        assertEquals(0, activity().leases());
    }

    @Test
    void givenClientsThatWaitForServerConnections_thenTheirNumberIsToldWhenItChanges() {
        ready(2);
        acquire("one", one);
        acquire("two", two);
        gateway(new LeaseCommand.Renew("one", 2, 5, 2, one.ref()));
        database.expectMessage(new PoolsEvent.Queue(2));
        gateway(new LeaseCommand.Renew("two", 2, 5, 1, two.ref()));
        database.expectMessage(new PoolsEvent.Queue(3));
        gateway(new LeaseCommand.Renew("two", 2, 9, 1, two.ref()));
        database.expectNoMessage(A_MOMENT);
        gateway(new LeaseCommand.Release("one", 2));
        database.expectMessage(new PoolsEvent.Queue(1));
        pools.tell(new PoolsCommand.WriterGone(LeaseEvent.Reason.WRITER_LOST));
        database.expectMessage(new PoolsEvent.Queue(0));
    }

    @Test
    void givenNoConnections_whenIdleTimeoutPasses_thenIdleAndAgainLater() {
        ready(2);
        pass(IDLE.plusSeconds(2));
        database.expectMessage(new PoolsEvent.Idle(2));
        database.expectNoMessage(A_MOMENT);
        pass(IDLE.plusSeconds(2));
        database.expectMessage(new PoolsEvent.Idle(2));
    }

    @Test
    void givenConnections_whenTheyEnd_thenTheIdleTimeoutBegins() {
        ready(2);
        acquire("one", one);
        for (Duration held = Duration.ZERO; held.compareTo(IDLE.multipliedBy(2)) < 0; held = held.plusSeconds(4)) {
            renew("one", 2, 1, one);
            pass(Duration.ofSeconds(4));
        }
        database.expectNoMessage(A_MOMENT);
        gateway(new LeaseCommand.Release("one", 2));
        pass(IDLE.minusSeconds(2));
        database.expectNoMessage(A_MOMENT);
        pass(Duration.ofSeconds(4));
        database.expectMessage(new PoolsEvent.Idle(2));
    }

    @Test
    void givenLeaseWithoutCountedConnections_thenItKeepsNothingAwake() {
        ready(2);
        acquire("exporter", one);
        for (Duration held = Duration.ZERO; held.compareTo(IDLE.plusSeconds(4)) < 0; held = held.plusSeconds(4)) {
            renew("exporter", 2, 0, one);
            acquire("exporter", one);
            pass(Duration.ofSeconds(4));
        }
        database.expectMessage(new PoolsEvent.Idle(2));
    }

    @Test
    void givenIdleTimeoutNever_thenNeverIdle() {
        pools.tell(new PoolsCommand.SetIdleTimeout(Duration.ZERO));
        ready(2);
        pass(IDLE.multipliedBy(2));
        database.expectNoMessage(A_MOMENT);
        pools.tell(new PoolsCommand.SetIdleTimeout(Duration.ofSeconds(10)));
        pass(Duration.ofSeconds(3));
        database.expectMessage(new PoolsEvent.Idle(2));
    }

    @Test
    void givenRefusal_whenAcquired_thenRefusedUntilAdmittedOrReady() {
        acquire("one", one);
        database.expectMessage(PoolsEvent.Demand.INSTANCE);
        pools.tell(new PoolsCommand.Refuse(REFUSED));
        one.expectMessage(REFUSED);
        acquire("two", two);
        two.expectMessage(REFUSED);
        pools.tell(PoolsCommand.Admit.INSTANCE);
        acquire("two", two);
        database.expectMessage(PoolsEvent.Demand.INSTANCE);
        pools.tell(new PoolsCommand.Refuse(REFUSED));
        two.expectMessage(REFUSED);
        ready(2);
        acquire("two", two);
        two.expectMessage(granted(2));
    }

    @Test
    void givenTooManyGateways_thenTheNextIsRefused() {
        acquire("a", two);
        acquire("b", two);
        acquire("c", two);
        acquire("one", one);
        assertEquals("53300", one.expectMessageClass(LeaseEvent.Refused.class).sqlState());
    }
}
