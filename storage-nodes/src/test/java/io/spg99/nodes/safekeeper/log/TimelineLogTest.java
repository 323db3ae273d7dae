package io.spg99.nodes.safekeeper.log;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Rules W1, W2, W3 and W7 on one Safekeeper, over a disk that can lose, tear and refuse what is written. */
class TimelineLogTest {

    private static final int CHECKPOINT = WalRecordWalker.XLOG_CHECKPOINT_ONLINE;

    /** XLOG_NOOP. */
    private static final int NOTHING = 0x20;

    /** What a log may hold. */
    private static final long MOST = 2 * FakeWal.SEGMENT_SIZE;

    private final CrashingDisk disk = new CrashingDisk(new Random(1));

    private static TimelineLog reopen(CrashingDisk disk) throws IOException {
        return requireNonNull(TimelineLog.open(disk));
    }

    private static void append(TimelineLog log, int generation, FakeWal wal, Lsn from, Lsn to) throws IOException {
        log.append(generation, from, wal.slice(from, to));
    }

    /** A log that follows generation 2 and has all of {@code wal}. */
    private static TimelineLog following(CrashingDisk disk, FakeWal wal) throws IOException {
        TimelineLog log = TimelineLog.create(disk, wal.base());
        log.promise(2);
        log.establish(2, wal.base().history(), wal.base().end(), wal.base().start());
        Lsn from = log.follow(2);
        append(log, 2, wal, from, wal.end());
        log.flush();
        return log;
    }

    private static FakeWal first() {
        return FakeWal.begin().branch(2);
    }

    private static byte[] content(TimelineLog log, FakeWal wal, Lsn end) throws IOException {
        ByteBuffer content = ByteBuffer.allocate((int) end.minus(wal.start()));
        int read = log.read(log.view().history(), wal.start(), end, content);
        assertEquals(content.capacity(), read);
        return content.array();
    }

    private static byte[] expected(FakeWal wal, Lsn end) {
        byte[] expected = new byte[(int) end.minus(wal.start())];
        wal.slice(wal.start(), end).get(expected);
        return expected;
    }

    @Test
    void givenANewTimeline_whenReopened_thenItEndsWithTheBase() throws Exception {
        FakeWal wal = FakeWal.begin();
        TimelineLog.create(disk, wal.base());
        disk.reboot();

        TimelineLog log = reopen(disk);

        assertEquals(
                new TimelineLog.View(1, 1, wal.history(), wal.end(), wal.base().start()), log.view());
    }

    /** Records that are no checkpoints. */
    private static void fill(FakeWal wal, int segments) {
        Lsn end = wal.end().plus((long) segments * FakeWal.SEGMENT_SIZE);
        while (wal.end().isBefore(end)) {
            wal.record(new byte[1000], NOTHING);
        }
    }

    private static void catchUp(TimelineLog log, int generation, FakeWal wal) throws IOException {
        append(log, generation, wal, log.view().flushed(), wal.end());
        log.flush();
    }

    @Test
    void givenAsMuchWalAsMayBe_whenASnapshotCouldMoveTheHorizon_thenItIsFullUntilThatHasMoved() throws Exception {
        FakeWal wal = first();
        fill(wal, 3);
        TimelineLog log = following(disk, wal);
        assertFalse(log.isFull(MOST), "no snapshot can be made of it");
        wal.record(new byte[90], CHECKPOINT);
        fill(wal, 1);
        catchUp(log, 2, wal);
        assertFalse(log.isFull(MOST), "redo of that one may begin where the horizon is");
        wal.record(new byte[90], CHECKPOINT);
        catchUp(log, 2, wal);
        assertTrue(log.isFull(MOST));
        assertFalse(log.isFull(100 * MOST));
        log.follow(2);
        assertTrue(log.isFull(MOST), "on another stream, too");

        log.trim(2, wal.end());

        assertFalse(log.isFull(MOST));
    }

    @Test
    void givenAFullLog_whenTheNextGenerationBegins_thenThatMayStart() throws Exception {
        FakeWal wal = first();
        fill(wal, 2);
        wal.record(new byte[90], CHECKPOINT);
        wal.record(new byte[90], CHECKPOINT);
        TimelineLog log = following(disk, wal);
        assertTrue(log.isFull(MOST));
        FakeWal next = wal.branch(3);
        log.promise(3);
        log.establish(3, next.history().upTo(wal.end()), wal.end(), next.base().start());
        log.follow(3);
        assertFalse(log.isFull(MOST), "before its first byte");
        fill(next, 1);
        catchUp(log, 3, next);
        assertFalse(log.isFull(MOST));
        fill(next, 1);
        catchUp(log, 3, next);
        assertTrue(log.isFull(MOST));
    }

    @Test
    void givenAPromise_whenALowerGenerationAppends_thenItIsRefused() throws Exception {
        FakeWal wal = first().records(new Random(1), 20);
        TimelineLog log = following(disk, wal);
        FakeWal more = wal.records(new Random(2), 1);
        Lsn before = log.view().flushed();

        TimelineLog.View promised = log.promise(5);

        assertEquals(before, promised.flushed());
        assertThrows(SupersededException.class, () -> append(log, 2, more, before, more.end()));
        assertThrows(SupersededException.class, () -> log.follow(2));
        assertThrows(SupersededException.class, () -> log.promise(4));
        disk.reboot();
        assertEquals(promised, reopen(disk).view());
    }

    @Test
    void givenAGenerationThatHasBegun_whenPromisedAgain_thenItIsRefused() throws Exception {
        TimelineLog log = following(disk, first().records(new Random(1), 2));

        assertThrows(SupersededException.class, () -> log.promise(2));
    }

    @Test
    void givenHalfARecord_whenFlushed_thenThePositionIsTheRecordBefore() throws Exception {
        FakeWal wal = first().records(new Random(1), 30);
        TimelineLog log = TimelineLog.create(disk, wal.base());
        log.promise(2);
        log.establish(2, wal.base().history(), wal.base().end(), wal.base().start());
        Lsn from = log.follow(2);

        append(log, 2, wal, from, wal.end().plus(-9));
        Lsn flushed = log.flush();

        assertTrue(wal.recordEnds().contains(flushed) && flushed.isBefore(wal.end()));
        append(log, 2, wal, wal.end().plus(-9), wal.end());
        assertEquals(wal.end(), log.flush());
    }

    @Test
    void givenAGap_whenAppended_thenItIsRefused() throws Exception {
        FakeWal wal = first().records(new Random(1), 30);
        TimelineLog log = TimelineLog.create(disk, wal.base());
        log.promise(2);
        log.establish(2, wal.base().history(), wal.base().end(), wal.base().start());
        Lsn from = log.follow(2);

        assertThrows(MalformedWalException.class, () -> append(log, 2, wal, from.plus(8), wal.end()));
    }

    @Test
    void givenADivergentTail_whenEstablished_thenItIsCutForGood() throws Exception {
        FakeWal common = first().records(new Random(1), 40);
        Lsn end = common.end();
        Lsn record = common.previous();
        FakeWal tail = common.records(new Random(2), 40);
        TimelineLog log = following(disk, tail);
        FakeWal next = tail.branch(3, end, record).records(new Random(3), 30);

        log.promise(3);
        assertEquals(
                end, log.establish(3, next.history().upTo(end), end, next.base().start()));
        disk.reboot();
        TimelineLog again = reopen(disk);
        assertEquals(end, again.view().flushed());
        again.establish(3, next.history().upTo(end), end, next.base().start());
        append(again, 3, next, again.follow(3), next.end());
        again.flush();

        assertArrayEquals(expected(next, next.end()), content(again, next, next.end()));
        assertEquals(next.history(), again.view().history());
    }

    @Test
    void givenALogThatLags_whenEstablished_thenItTakesWhatIsMissingAcrossGenerations() throws Exception {
        FakeWal wal = first().records(new Random(1), 10);
        TimelineLog log = following(disk, wal);
        Lsn lagging = wal.end();
        FakeWal ahead = wal.records(new Random(2), 100).branch(3).records(new Random(3), 200);

        log.promise(4);
        Lsn from = log.establish(4, ahead.history(), ahead.end(), wal.base().start());
        assertEquals(lagging, from);
        append(log, 4, ahead, from, ahead.end());
        log.flush();
        log.established(4, ahead.end());
        log.close();
        disk.reboot();

        TimelineLog again = reopen(disk);
        assertEquals(ahead.end(), again.view().flushed());
        assertEquals(ahead.history(), again.view().history());
        assertArrayEquals(expected(ahead, ahead.end()), content(again, ahead, ahead.end()));
    }

    private static void assertSameFrom(Lsn from, FakeWal wal, TimelineLog log) throws IOException {
        byte[] expected = new byte[(int) wal.end().minus(from)];
        wal.slice(from, wal.end()).get(expected);
        ByteBuffer actual = ByteBuffer.allocate(expected.length);
        assertEquals(expected.length, log.read(log.view().history(), from, wal.end(), actual));
        assertArrayEquals(expected, actual.array());
    }

    @Test
    void givenWalThatIsCovered_whenTrimmedWhileItsWriterRuns_thenItIsGoneForGood() throws Exception {
        FakeWal wal = first().records(new Random(1), 500);
        TimelineLog log = following(disk, wal);
        Lsn begin = wal.end();
        FakeWal next = wal.branch(3).records(new Random(2), 500);
        log.promise(3);
        log.establish(3, wal.history(), begin, wal.base().start());
        append(log, 3, next, log.follow(3), next.end());
        log.flush();

        Lsn horizon = log.trim(3, next.end().plus(10L * FakeWal.SEGMENT_SIZE));
        disk.reboot();
        TimelineLog again = reopen(disk);

        assertEquals(next.end().segmentStart(FakeWal.SEGMENT_SIZE), horizon, "what is here, and no more");
        assertTrue(horizon.isAfter(begin), "horizon=" + horizon);
        assertEquals(horizon, again.view().horizon());
        assertEquals(next.end(), again.view().flushed());
        assertEquals(0, again.read(next.history(), horizon.plus(-8), horizon, ByteBuffer.allocate(8)));
        assertSameFrom(horizon, next, again);
    }

    @Test
    void givenALogThatLacksWhatOthersHaveRemoved_whenEstablished_thenItBeginsAtTheirHorizon() throws Exception {
        FakeWal wal = first().records(new Random(1), 10);
        TimelineLog log = following(disk, wal);
        FakeWal ahead = wal.records(new Random(2), 500);
        Lsn end = ahead.end();
        Lsn horizon = end.segmentStart(FakeWal.SEGMENT_SIZE);
        log.promise(3);
        assertEquals(horizon, log.establish(3, ahead.history(), end, horizon));
        append(log, 3, ahead, horizon, horizon.plus(100));
        log.flush();
        disk.reboot();

        TimelineLog again = reopen(disk);
        assertEquals(horizon, again.view().flushed(), "half of it does not count");
        again.promise(4);
        assertEquals(horizon, again.establish(4, ahead.history(), end, horizon));
        append(again, 4, ahead, horizon, end);
        again.flush();
        again.established(4, end);
        FakeWal next = ahead.branch(4).records(new Random(3), 10);
        append(again, 4, next, again.follow(4), next.end());
        again.flush();
        disk.reboot();

        TimelineLog last = reopen(disk);
        assertEquals(next.end(), last.view().flushed());
        assertEquals(next.history(), last.view().history());
        assertSameFrom(horizon, next, last);
    }

    @Test
    void givenALogThatLacksWhatOthersHaveRemovedOfARunningGeneration_whenEstablished_thenItFollowsFromTheirHorizon()
            throws Exception {
        for (long seed = 1; seed <= 20; seed++) {
            CrashingDisk mine = new CrashingDisk(new Random(seed));
            FakeWal wal = first().records(new Random(seed), 10);
            TimelineLog log = following(mine, wal);
            Lsn begin = wal.end();
            FakeWal next = wal.branch(3).records(new Random(-seed), 1000);
            Lsn horizon = begin.plus(2L * FakeWal.SEGMENT_SIZE).segmentStart(FakeWal.SEGMENT_SIZE);
            log.promise(3);
            assertEquals(begin, log.establish(3, wal.history(), begin, horizon), "seed=" + seed);
            assertTrue(log.isEstablished(3));
            assertEquals(horizon, log.follow(3), "seed=" + seed);
            append(log, 3, next, horizon, horizon.plus(9));
            assertEquals(horizon, log.flush(), "the first record is not whole: seed=" + seed);
            mine.restart();

            TimelineLog again = reopen(mine);
            assertEquals(horizon, again.follow(3), "seed=" + seed);
            append(again, 3, next, horizon, next.end());
            assertEquals(next.end(), again.flush(), "seed=" + seed);
            mine.reboot();

            TimelineLog last = reopen(mine);
            assertEquals(next.end(), last.view().flushed(), "seed=" + seed);
            assertEquals(next.history(), last.view().history(), "seed=" + seed);
            assertSameFrom(horizon, next, last);
        }
    }

    @Test
    void givenALogThatLagsBehindWhatOthersHaveRemoved_whenEstablishedAgain_thenItGoesOnFromTheirHorizon()
            throws Exception {
        FakeWal wal = first().records(new Random(1), 10);
        TimelineLog log = following(disk, wal);
        Lsn begin = wal.end();
        FakeWal next = wal.branch(3).records(new Random(2), 1000);
        log.promise(3);
        log.establish(3, wal.history(), begin, wal.base().start());
        Lsn here = next.recordEnds().stream()
                .filter(end -> end.isAfter(begin))
                .findFirst()
                .orElseThrow();
        append(log, 3, next, log.follow(3), here);
        log.flush();
        Lsn horizon = next.end().segmentStart(FakeWal.SEGMENT_SIZE);

        assertEquals(begin, log.establish(3, wal.history(), begin, wal.base().start()));
        assertEquals(here, log.view().flushed(), "it does not lag behind that");
        assertEquals(begin, log.establish(3, wal.history(), begin, horizon));
        assertEquals(horizon, log.view().horizon());
        append(log, 3, next, log.follow(3), next.end());

        assertEquals(next.end(), log.flush());
        assertSameFrom(horizon, next, log);
    }

    @Test
    void givenARestoredLog_whenItLacksWhatItsWriterHadAlready_thenItIsNoVoter() throws Exception {
        FakeWal wal = first().records(new Random(1), 10);
        Lsn begin = wal.end();
        FakeWal next = wal.branch(3).records(new Random(2), 10);
        Lsn had = next.end();
        next.records(new Random(3), 10);
        TimelineLog log = TimelineLog.restore(disk, wal.base(), 3);
        append(log, 3, wal, log.establish(3, wal.history(), begin, wal.base().start()), begin);
        log.flush();
        log.established(3, begin);
        assertTrue(reopen(disk).isRestored());

        log.voteFrom(3, had);
        Lsn from = log.follow(3);
        Lsn middle = next.recordEnds().stream()
                .filter(end -> end.isAfter(begin))
                .findFirst()
                .orElseThrow();
        append(log, 3, next, from, middle);
        log.flush();
        assertTrue(reopen(disk).isRestored());
        append(log, 3, next, middle, had);
        log.flush();

        assertFalse(reopen(disk).isRestored());
    }

    @Test
    void givenAnEstablishedLog_whenAnotherChoiceComes_thenNothingIsCut() throws Exception {
        FakeWal wal = first().records(new Random(1), 10);
        TimelineLog log = following(disk, wal);
        Lsn other = wal.recordEnds().get(5);
        log.promise(3);
        log.establish(3, wal.history(), wal.end(), wal.base().start());

        assertThrows(
                LogFailedException.class,
                () -> log.establish(3, wal.history(), other, wal.base().start()));
        assertThrows(
                LogFailedException.class,
                () -> log.establish(
                        3, wal.base().history(), wal.base().end(), wal.base().start()));

        assertEquals(wal.end(), log.view().flushed());
        assertEquals(
                wal.end(), log.establish(3, wal.history(), wal.end(), wal.base().start()));
    }

    @Test
    void givenAnEstablishedLog_whenItsGenerationDiesBeforeItsFirstByte_thenItStillCountsAsEstablished()
            throws Exception {
        FakeWal wal = first().records(new Random(1), 10);
        TimelineLog log = following(disk, wal);
        log.promise(3);
        assertEquals(2, log.view().established());
        log.establish(3, wal.history(), wal.end(), wal.base().start());
        disk.reboot();

        TimelineLog again = reopen(disk);

        assertEquals(3, again.view().established());
        assertTrue(again.isEstablished(3));
        assertEquals(3, again.promise(4).established());
        assertEquals(wal.history(), again.view().history());
    }

    @Test
    void givenAFailedSync_whenAskedAgain_thenNothingIsAcknowledgedUntilReopened() throws Exception {
        FakeWal wal = first().records(new Random(1), 10);
        TimelineLog log = following(disk, wal);
        Lsn acknowledged = log.view().flushed();
        FakeWal more = wal.records(new Random(2), 10);
        append(log, 2, more, acknowledged, more.end());
        disk.failNextSync();

        assertThrows(LogFailedException.class, log::flush);
        assertThrows(LogFailedException.class, log::flush);
        assertThrows(LogFailedException.class, () -> log.promise(9));

        assertEquals(acknowledged, log.view().flushed());
        TimelineLog again = reopen(disk);
        disk.reboot();
        assertEquals(again.view(), reopen(disk).view());
    }

    @Test
    void givenAFullDisk_whenAppending_thenNothingIsAcknowledgedAndItGoesOnLater() throws Exception {
        FakeWal wal = first().records(new Random(1), 10);
        TimelineLog log = following(disk, wal);
        Lsn acknowledged = log.view().flushed();
        FakeWal more = wal.records(new Random(2), 10);
        disk.full(true);
        assertThrows(LogFailedException.class, () -> append(log, 2, more, acknowledged, more.end()));
        disk.full(false);

        TimelineLog again = reopen(disk);
        append(again, 2, more, again.follow(2), more.end());

        assertEquals(more.end(), again.flush());
    }

    @Test
    void givenADamagedControlFile_whenOpened_thenItSaysSo() throws Exception {
        following(disk, first().records(new Random(1), 10));
        disk.damageControl();

        assertThrows(LogFailedException.class, () -> TimelineLog.open(disk));
    }

    @Test
    void givenARestAfterTheWriter_whenReopened_thenNothingIsScannedAndSegmentsAreWhole() throws Exception {
        FakeWal wal = first().records(new Random(1), 300);
        TimelineLog log = following(disk, wal);
        log.rest();
        disk.reboot();

        TimelineLog again = reopen(disk);

        assertEquals(wal.end(), again.view().flushed());
        // The first segment of generation 2 has its parent's bytes, as PostgreSQL's own file has.
        ByteBuffer segment = ByteBuffer.allocate((int) wal.base().end().minus(wal.start()));
        disk.read(new Segment(2, wal.start().segment(FakeWal.SEGMENT_SIZE)), 0, segment);
        assertArrayEquals(wal.base().firstWal(), segment.array());
    }

    /** Whatever is lost or torn: what was acknowledged is there, what is reported is the writer's WAL, promises hold. */
    @Test
    void givenCrashesBetweenAnyTwoWrites_whenReopened_thenNothingAcknowledgedIsLostAndNothingInvented()
            throws Exception {
        for (long seed = 1; seed <= 250; seed++) {
            crashOften(seed);
        }
    }

    private static void crashOften(long seed) throws Exception {
        Random random = new Random(seed);
        CrashingDisk disk = new CrashingDisk(random);
        FakeWal wal = first().records(random, 60);
        TimelineLog log = TimelineLog.create(disk, wal.base());
        Lsn acknowledged = log.view().flushed();
        int promised = 1;
        int generation = 2;
        for (int life = 0; life < 6; life++) {
            disk.crashAfter(1 + random.nextInt(25));
            try {
                TimelineLog.View view = log.promise(generation);
                promised = generation;
                assertTrue(!view.flushed().isBefore(acknowledged), "seed=" + seed);
                Lsn end = view.flushed();
                acknowledged = end;
                log.establish(generation, view.history(), end, wal.base().start());
                wal = wal.branch(generation, end, lastRecord(wal, end)).records(random, 60);
                Lsn next = log.follow(generation);
                while (next.isBefore(wal.end())) {
                    int length =
                            (int) Math.min(1 + random.nextInt(3000), wal.end().minus(next));
                    append(log, generation, wal, next, next.plus(length));
                    next = next.plus(length);
                    if (random.nextBoolean()) {
                        acknowledged = log.flush();
                    }
                }
                if (random.nextBoolean()) {
                    acknowledged = log.flush();
                    log.rest();
                }
            } catch (CrashingDisk.CrashException | LogFailedException e) {
                // The machine or the process died.
            }
            if (random.nextInt(3) == 0) {
                disk.restart();
            } else {
                disk.reboot();
            }
            log = reopen(disk);
            TimelineLog.View view = log.view();
            String what = "seed=" + seed + " life=" + life + " acknowledged=" + acknowledged + " view=" + view;
            assertTrue(view.promised() >= promised, what);
            assertTrue(!view.flushed().isBefore(acknowledged), what);
            assertTrue(wal.recordEnds().contains(view.flushed()), what);
            assertArrayEquals(expected(wal, view.flushed()), content(log, wal, view.flushed()), what);
            acknowledged = view.flushed();
            promised = view.promised();
            generation = promised + 1 + random.nextInt(2);
        }
    }

    private static Lsn lastRecord(FakeWal wal, Lsn end) throws MalformedWalException {
        WalRecordWalker walker = new WalRecordWalker(
                FakeWal.SYSTEM_IDENTIFIER, FakeWal.SEGMENT_SIZE, wal.history(), wal.start(), Lsn.ZERO);
        walker.accept(wal.slice(wal.start(), end));
        return walker.lastRecord();
    }
}
