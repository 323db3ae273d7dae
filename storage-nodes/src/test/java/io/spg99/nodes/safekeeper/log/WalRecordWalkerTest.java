package io.spg99.nodes.safekeeper.log;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.wal.Lsn;
import java.nio.ByteBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The walker over generated WAL; over PostgreSQL's own it is tested with everything else in {@code WalChainTest}. */
class WalRecordWalkerTest {

    private static WalRecordWalker walker(FakeWal wal) {
        return new WalRecordWalker(
                FakeWal.SYSTEM_IDENTIFIER, FakeWal.SEGMENT_SIZE, wal.history(), wal.start(), Lsn.ZERO);
    }

    private static FakeWal wal(long seed) {
        Random random = new Random(seed);
        FakeWal wal = FakeWal.begin().records(random, 150).switchSegment().records(random, 100);
        return wal.branch(2 + random.nextInt(3)).records(random, 100);
    }

    @Test
    void givenWal_whenSplitAnywhere_thenTheLastCompleteRecordIsKnown() throws Exception {
        for (long seed = 1; seed <= 50; seed++) {
            FakeWal wal = wal(seed);
            Random random = new Random(seed);
            WalRecordWalker walker = walker(wal);
            Lsn next = wal.start();
            while (next.isBefore(wal.end())) {
                int length = (int) Math.min(1 + random.nextInt(5000), wal.end().minus(next));
                walker.accept(wal.slice(next, next.plus(length)));
                next = next.plus(length);
                Lsn position = next;
                Lsn expected = wal.recordEnds().stream()
                        .filter(end -> !end.isAfter(position))
                        .reduce((a, b) -> b)
                        .orElse(wal.start());
                assertEquals(expected, walker.recordEnd(), "seed=" + seed + " position=" + position);
            }
            assertEquals(wal.previous(), walker.lastRecord(), "seed=" + seed);
        }
    }

    @Test
    void givenWal_whenTakenByteByByte_thenTheResultIsTheSame() throws Exception {
        FakeWal wal = wal(7);
        WalRecordWalker walker = walker(wal);
        for (byte one : wal.bytes()) {
            walker.accept(ByteBuffer.wrap(new byte[] {one}));
        }
        assertEquals(wal.end(), walker.recordEnd());
    }

    @Test
    void givenAnyRecordEnd_whenBeginningThere_thenTheRestIsWalked() throws Exception {
        FakeWal wal = wal(11);
        for (Lsn begin : wal.recordEnds()) {
            WalRecordWalker walker = new WalRecordWalker(
                    FakeWal.SYSTEM_IDENTIFIER, FakeWal.SEGMENT_SIZE, wal.history(), begin, Lsn.ZERO);
            walker.accept(wal.slice(begin, wal.end()));
            assertEquals(wal.end(), walker.recordEnd(), "begin=" + begin);
        }
    }

    @Test
    void givenAnySegment_whenBeginningThereInTheMiddleOfARecord_thenTheRestIsWalkedFromTheNextRecordOn()
            throws Exception {
        int continued = 0;
        for (long seed = 1; seed <= 50; seed++) {
            FakeWal wal = wal(seed).records(new Random(seed), 400);
            for (Lsn start = wal.start(); start.isBefore(wal.end()); start = start.plus(FakeWal.SEGMENT_SIZE)) {
                Lsn begin = start;
                WalRecordWalker walker = WalRecordWalker.fromSegment(
                        FakeWal.SYSTEM_IDENTIFIER, FakeWal.SEGMENT_SIZE, wal.history(), begin);
                for (Lsn at = begin; at.isBefore(wal.end()); ) {
                    Lsn next = Lsn.min(at.plus(1000), wal.end());
                    walker.accept(wal.slice(at, next));
                    at = next;
                    Lsn position = next;
                    Lsn expected = wal.recordEnds().stream()
                            .filter(end -> end.isAfter(begin) && !end.isAfter(position))
                            .reduce((a, b) -> b)
                            .orElse(begin);
                    assertEquals(expected, walker.recordEnd(), "seed=" + seed + " begin=" + begin);
                }
                continued += wal.recordEnds().contains(begin) ? 0 : 1;
            }
        }
        assertTrue(continued > 50, "segments that begin in the middle of a record: " + continued);
    }

    @Test
    void givenAFlippedBit_whenWalked_thenNoRecordFromThereOnCounts() {
        for (long seed = 1; seed <= 300; seed++) {
            FakeWal wal = wal(seed % 5);
            Random random = new Random(seed);
            byte[] bytes = wal.bytes();
            int flipped = random.nextInt(bytes.length);
            bytes[flipped] ^= (byte) (1 << random.nextInt(8));
            WalRecordWalker walker = walker(wal);
            try {
                walker.accept(ByteBuffer.wrap(bytes));
                // Only padding is not protected, and nobody reads it.
                assertEquals(wal.end(), walker.recordEnd(), "seed=" + seed);
            } catch (MalformedWalException e) {
                assertTrue(
                        !walker.recordEnd().isAfter(wal.start().plus(flipped)),
                        "seed=" + seed + " flipped=" + wal.start().plus(flipped) + " end=" + walker.recordEnd());
            }
        }
    }

    @Test
    void givenRandomBytes_whenWalked_thenTheyAreRefused() {
        Random random = new Random(3);
        for (int i = 0; i < 200; i++) {
            byte[] bytes = new byte[1 + random.nextInt(20000)];
            random.nextBytes(bytes);
            WalRecordWalker walker = walker(FakeWal.begin());
            if (bytes.length >= WalRecordWalker.LONG_HEADER) {
                assertThrows(MalformedWalException.class, () -> walker.accept(ByteBuffer.wrap(bytes)));
            }
        }
    }

    @Test
    void givenZerosAfterARecord_whenWalked_thenTheyAreNoRecord() throws Exception {
        FakeWal wal = wal(2);
        WalRecordWalker walker = walker(wal);
        walker.accept(wal.slice(wal.start(), wal.end()));

        assertThrows(MalformedWalException.class, () -> walker.accept(ByteBuffer.allocate(8192 * 2)));

        assertEquals(wal.end(), walker.recordEnd());
    }
}
