package io.spg99.nodes.pageserver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.pageserver.PageserverCommand;
import io.spg99.storage.pageserver.PageserverReply;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.snapshot.Manifest;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.time.Clock;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** When the Pageserver makes snapshots; what makes them is played. */
class PageserverTest {

    private static final ActorTestKit KIT = ActorTestKit.create();
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final TimelineBase BASE = new TimelineBase(
            new TimelineId("0123456789abcdef0123456789abcdef"), 7, 4 << 20, new Lsn(0x1000000), new byte[160]);

    /** A segment of WAL is enough, and age never comes. */
    private static final PageserverSettings SETTINGS = new PageserverSettings(
            1,
            16,
            PATIENCE,
            1,
            4 << 20,
            Duration.ofDays(1),
            Duration.ofMillis(1),
            PATIENCE,
            Duration.ofMillis(10),
            Duration.ofDays(1));

    private final Maker maker = new Maker();
    private final TestProbe<PageserverReply> asker = KIT.createTestProbe(PageserverReply.class);
    private final ActorRef<PageserverCommand> pageserver =
            KIT.spawn(Pageserver.create(SETTINGS, maker, Clock.systemUTC()));

    /** Makes a snapshot of everything at once, or fails, or waits for an interrupt. */
    private static final class Maker implements SnapshotMaker {
        final BlockingQueue<RedoJob> jobs = new LinkedBlockingQueue<>();
        final AtomicInteger failures = new AtomicInteger();
        final AtomicInteger errors = new AtomicInteger();
        final BlockingQueue<TimelineId> collections = new LinkedBlockingQueue<>();
        final AtomicInteger collectionFailures = new AtomicInteger();
        final AtomicInteger left = new AtomicInteger();
        volatile boolean blocked;
        volatile long storedBytes = 1000;
        volatile Optional<Lsn> newest = Optional.empty();
        final CountDownLatch interrupted = new CountDownLatch(1);

        @Override
        public Result advance(RedoJob job) throws IOException {
            jobs.add(job);
            if (failures.getAndUpdate(left -> Math.max(left - 1, 0)) > 0) {
                throw new IOException("no source has the WAL");
            }
            if (errors.getAndUpdate(left -> Math.max(left - 1, 0)) > 0) {
                throw new StackOverflowError("a bug");
            }
            if (blocked) {
                try {
                    new CountDownLatch(1).await();
                } catch (InterruptedException e) {
                    interrupted.countDown();
                    throw new IOException("interrupted", e);
                }
            }
            Manifest made = new Manifest(
                    job.base().timeline(),
                    7,
                    4 << 20,
                    job.image(),
                    job.history().last().generation(),
                    newest.orElse(job.end()),
                    newest.orElse(job.end()),
                    0,
                    List.of(),
                    List.of(),
                    List.of());
            return new Result(Optional.of(made), storedBytes);
        }

        @Override
        public boolean collect(TimelineId timeline) throws IOException {
            collections.add(timeline);
            if (collectionFailures.getAndUpdate(left -> Math.max(left - 1, 0)) > 0) {
                throw new IOException("object storage is away");
            }
            return left.getAndUpdate(left -> Math.max(left - 1, 0)) > 0;
        }

        void collected() throws InterruptedException {
            assertEquals(BASE.timeline(), collections.poll(PATIENCE.toSeconds(), TimeUnit.SECONDS));
        }

        RedoJob next() throws InterruptedException {
            RedoJob job = jobs.poll(PATIENCE.toSeconds(), TimeUnit.SECONDS);
            if (job == null) {
                throw new AssertionError("expected a run");
            }
            return job;
        }

        void none() throws InterruptedException {
            assertEquals(null, jobs.poll(100, TimeUnit.MILLISECONDS));
        }
    }

    @AfterAll
    static void stop() {
        KIT.shutdownTestKit();
    }

    private void advance(long end, boolean over) {
        advance(end, over, false);
    }

    private void advance(long end, boolean over, boolean booting) {
        advance(pageserver, end, over, booting);
    }

    private void advance(ActorRef<PageserverCommand> told, long end, boolean over, boolean booting) {
        told.tell(new PageserverCommand.Advance(
                BASE,
                "image",
                WalHistory.of(1, BASE.start()).append(2, BASE.end()),
                new Lsn(end),
                List.of(),
                over,
                booting,
                asker.getRef()));
    }

    private static PageserverReply.Snapshot snapshot(long end) {
        return new PageserverReply.Snapshot(BASE.timeline(), new Lsn(end), new Lsn(end).segmentStart(4 << 20), 1000);
    }

    private void expectSnapshot(long end) {
        asker.expectMessage(PATIENCE, snapshot(end));
    }

    @Test
    void givenAGenerationThatEnded_whenToldOfIt_thenItBecomesASnapshotOnce() throws Exception {
        advance(0x1001000, true);
        assertEquals(new Lsn(0x1001000), maker.next().end());
        expectSnapshot(0x1001000);

        advance(0x1001000, true);
        maker.none();
    }

    @Test
    void givenWalWithoutACheckpoint_whenItsArchiveGrew_thenTheAskerHearsHowMuchIsStored() throws Exception {
        advance(0x1001000, true);
        maker.next();
        expectSnapshot(0x1001000);

        maker.newest = Optional.of(new Lsn(0x1001000));
        maker.storedBytes = 2000;
        advance(0x1401000, false);
        asker.expectMessage(
                PATIENCE, new PageserverReply.Snapshot(BASE.timeline(), new Lsn(0x1001000), new Lsn(0x1000000), 2000));
    }

    @Test
    void givenARunningWriter_whenThereIsLittleWal_thenItWaitsUntilThereIsEnough() throws Exception {
        advance(0x1001000, true);
        maker.next();
        expectSnapshot(0x1001000);

        advance(0x1002000, false);
        advance(0x1301000, false);
        maker.none();
        advance(0x1401000, false);
        assertEquals(new Lsn(0x1401000), maker.next().end());
        expectSnapshot(0x1401000);
    }

    @Test
    void givenABusyWriter_whenToldOfItAllTheTime_thenThatDoesNotPutItsSnapshotOff() {
        Duration delay = Duration.ofMillis(200);
        ActorRef<PageserverCommand> patient = KIT.spawn(Pageserver.create(
                new PageserverSettings(
                        1, 16, PATIENCE, 1, 4 << 20, Duration.ofDays(1), delay, PATIENCE, delay, Duration.ofDays(1)),
                maker,
                Clock.systemUTC()));
        AtomicLong end = new AtomicLong(0x1001000);
        Awaitility.await("a run")
                .atMost(PATIENCE)
                .pollInterval(delay.dividedBy(10))
                .until(() -> {
                    advance(patient, end.addAndGet(0x1000), true, false);
                    return !maker.jobs.isEmpty();
                });
    }

    @Test
    void givenARunningWriterWithLittleWal_whenToldTheSameTwice_thenItIsWaitedForAndTheNewestIsSaidAgain()
            throws Exception {
        advance(0x1001000, true);
        maker.next();
        expectSnapshot(0x1001000);

        advance(0x1002000, false);
        maker.none();
        advance(0x1002000, false);
        expectSnapshot(0x1001000);
        assertEquals(new Lsn(0x1002000), maker.next().end());
        expectSnapshot(0x1002000);
    }

    @Test
    void givenAGenerationThatStarts_whenWorkIsDue_thenItWaitsUntilThatHasStarted() throws Exception {
        advance(0x1001000, true, true);
        maker.none();
        advance(0x1001000, true, false);
        assertEquals(new Lsn(0x1001000), maker.next().end());
        expectSnapshot(0x1001000);
    }

    @Test
    void givenWorkThatFails_whenSomeTimeHasPassed_thenItIsTriedAgainWithWhatIsNewestThen() throws Exception {
        maker.failures.set(2);
        advance(0x1001000, true);
        maker.next();
        advance(0x1002000, true);
        RedoJob last = maker.next();
        while (!last.end().equals(new Lsn(0x1002000))) {
            last = maker.next();
        }
        asker.receiveMessage(PATIENCE);
    }

    @Test
    void givenWorkThatEndsWithAnError_whenSomeTimeHasPassed_thenItIsTriedAgain() throws Exception {
        maker.errors.set(1);
        advance(0x1001000, true);
        maker.next();
        maker.next();
        expectSnapshot(0x1001000);
    }

    @Test
    void givenADatabaseThatStopped_whenTheRetentionTimeHasPassed_thenWhatWasReplacedIsDeletedUntilNothingIsLeft()
            throws Exception {
        ActorRef<PageserverCommand> forgetful =
                KIT.spawn(Pageserver.create(SETTINGS.withRetention(Duration.ofMillis(300)), maker, Clock.systemUTC()));
        maker.left.set(1);
        maker.collectionFailures.set(1);
        advance(forgetful, 0x1001000, true, false);
        expectSnapshot(0x1001000);
        assertEquals(null, maker.collections.poll(100, TimeUnit.MILLISECONDS), "nothing is old yet");
        maker.collected();
        maker.collected();
        maker.collected();
        assertEquals(null, maker.collections.poll(600, TimeUnit.MILLISECONDS), "nothing is left");

        advance(forgetful, 0x1002000, true, false);
        expectSnapshot(0x1002000);
        maker.collected();
    }

    @Test
    void givenAWorkerAtWork_whenItsTimelineIsForgotten_thenTheAnswerWaitsForItsEnd() throws Exception {
        maker.blocked = true;
        advance(0x1001000, true);
        maker.next();
        pageserver.tell(new PageserverCommand.Forget(BASE.timeline(), asker.getRef()));
        asker.expectMessage(PATIENCE, new PageserverReply.Forgotten(BASE.timeline()));
        assertTrue(maker.interrupted.await(1, TimeUnit.SECONDS));
    }

    @Test
    void givenAnUnknownTimeline_whenForgotten_thenItIsAnsweredAtOnce() {
        pageserver.tell(new PageserverCommand.Forget(BASE.timeline(), asker.getRef()));
        asker.expectMessage(PATIENCE, new PageserverReply.Forgotten(BASE.timeline()));
    }

    @Test
    void givenARunningWriterWithLittleWal_whenThatIsOldEnough_thenItBecomesASnapshotWithoutBeingToldAgain()
            throws Exception {
        Duration age = Duration.ofMillis(500);
        ActorRef<PageserverCommand> told = KIT.spawn(Pageserver.create(
                new PageserverSettings(
                        1,
                        16,
                        PATIENCE,
                        1,
                        4 << 20,
                        age,
                        Duration.ofMillis(1),
                        PATIENCE,
                        Duration.ofMillis(10),
                        Duration.ofDays(1)),
                maker,
                Clock.systemUTC()));
        advance(told, 0x1001000, true, false);
        maker.next();
        expectSnapshot(0x1001000);

        long began = System.nanoTime();
        advance(told, 0x1002000, false, false);
        assertEquals(new Lsn(0x1002000), maker.next().end());
        assertTrue(System.nanoTime() - began >= age.toNanos(), "not before it is old");
        expectSnapshot(0x1002000);
    }

    /** Waits for a permit in each run, and knows how many runs there were at once. */
    private static final class Gate implements SnapshotMaker {
        final Semaphore permits = new Semaphore(0);
        final BlockingQueue<TimelineId> begun = new LinkedBlockingQueue<>();
        final AtomicInteger running = new AtomicInteger();
        final AtomicInteger most = new AtomicInteger();

        @Override
        public Result advance(RedoJob job) throws IOException {
            most.accumulateAndGet(running.incrementAndGet(), Math::max);
            begun.add(job.base().timeline());
            try {
                permits.acquire();
            } catch (InterruptedException e) {
                throw new IOException("interrupted", e);
            } finally {
                running.decrementAndGet();
            }
            return new Result(Optional.empty(), 0);
        }

        @Override
        public boolean collect(TimelineId timeline) {
            return false;
        }
    }

    @Test
    void givenMoreTimelinesThanWorkers_whenAllAreDue_thenTheyTakeTurnsAndEachRunsOnce() throws Exception {
        Gate gate = new Gate();
        ActorRef<PageserverCommand> told = KIT.spawn(Pageserver.create(
                new PageserverSettings(
                        2,
                        16,
                        PATIENCE,
                        1,
                        4 << 20,
                        Duration.ofDays(1),
                        Duration.ofMillis(1),
                        PATIENCE,
                        Duration.ofMillis(10),
                        Duration.ofDays(1)),
                gate,
                Clock.systemUTC()));
        for (int i = 0; i < 5; i++) {
            TimelineBase base = new TimelineBase(
                    new TimelineId("%032x".formatted(i + 1)),
                    BASE.systemIdentifier(),
                    BASE.segmentSize(),
                    BASE.start(),
                    new byte[160]);
            for (int again = 0; again < 3; again++) {
                told.tell(new PageserverCommand.Advance(
                        base,
                        "image",
                        WalHistory.of(1, BASE.start()).append(2, BASE.end()),
                        new Lsn(0x1001000),
                        List.of(),
                        true,
                        false,
                        asker.getRef()));
            }
        }
        Set<TimelineId> seen = new HashSet<>();
        for (int i = 0; i < 5; i++) {
            if (i >= 2) {
                assertEquals(null, gate.begun.poll(50, TimeUnit.MILLISECONDS), "two run already");
                gate.permits.release();
            }
            TimelineId next = gate.begun.poll(PATIENCE.toSeconds(), TimeUnit.SECONDS);
            assertTrue(next != null && seen.add(next), "each once: " + next + " seen=" + seen);
        }
        gate.permits.release(2);
        assertEquals(null, gate.begun.poll(100, TimeUnit.MILLISECONDS), "nothing is left to do");
        assertEquals(2, gate.most.get());
    }

    @Test
    void givenAnotherAsker_whenASnapshotIsKnown_thenItHearsOfItAtOnce() throws Exception {
        advance(0x1001000, true);
        maker.next();
        expectSnapshot(0x1001000);
        TestProbe<PageserverReply> other = KIT.createTestProbe(PageserverReply.class);
        pageserver.tell(new PageserverCommand.Advance(
                BASE,
                "image",
                WalHistory.of(1, BASE.start()),
                new Lsn(0x1001000),
                List.of(),
                false,
                false,
                other.getRef()));
        other.expectMessage(PATIENCE, snapshot(0x1001000));
    }
}
