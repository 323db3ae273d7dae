package io.spg99.storage.wal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.List;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.junit.jupiter.api.Test;

class WalHistoryTest {

    private static final int SEGMENT = 8;
    private static final Lsn BEGIN = new Lsn(8);

    /** A WAL of a few bytes, so that every question can be answered byte by byte. */
    record Wal(WalHistory history, Lsn end) {

        /** Which generation wrote the byte; two WALs agree up to the first byte of which this differs. */
        int writer(long position) {
            int writer = 0;
            for (WalHistory.Term term : history.terms()) {
                if (term.begin().value() <= position) {
                    writer = term.generation();
                }
            }
            return writer;
        }
    }

    @Provide
    Arbitrary<Wal> wals() {
        Arbitrary<List<Integer>> steps =
                Arbitraries.integers().between(0, 5).list().ofMaxSize(4);
        Arbitrary<Integer> tail = Arbitraries.integers().between(0, 6);
        return Combinators.combine(steps, tail).as((begins, rest) -> {
            WalHistory history = WalHistory.of(1, BEGIN);
            Lsn at = BEGIN;
            int generation = 1;
            for (int step : begins) {
                at = at.plus(step);
                generation += 1 + step % 2;
                history = history.append(generation, at);
            }
            return new Wal(history, at.plus(rest));
        });
    }

    @Property
    void upToKeepsTheWriterOfEveryByteAndNoEmptyTerm(@ForAll("wals") Wal wal) {
        WalHistory cut = wal.history().upTo(wal.end());
        for (long at = BEGIN.value(); at < wal.end().value(); at++) {
            assertEquals(wal.writer(at), cut.generationAt(new Lsn(at)));
        }
        if (wal.end().isAfter(BEGIN)) {
            assertEquals(wal.writer(wal.end().value() - 1), cut.last().generation());
        }
    }

    @Property
    void commonEndIsWhereTheWritersDiffer(@ForAll("wals") Wal a, @ForAll("wals") Wal b) {
        WalHistory mine = a.history().upTo(a.end());
        WalHistory theirs = b.history().upTo(b.end());
        long expected = BEGIN.value();
        // A generation writes once: where two WALs have it begin at different places, they are of different databases.
        while (expected < Math.min(a.end().value(), b.end().value())
                && prefix(mine, expected).equals(prefix(theirs, expected))) {
            expected++;
        }
        assertEquals(new Lsn(expected), mine.commonEnd(a.end(), theirs, b.end()));
        assertEquals(new Lsn(expected), theirs.commonEnd(b.end(), mine, a.end()));
    }

    /** The terms that begin at or before a byte. */
    private static List<WalHistory.Term> prefix(WalHistory history, long position) {
        List<WalHistory.Term> terms = new ArrayList<>(history.terms());
        terms.removeIf(term -> term.begin().value() > position);
        return terms;
    }

    @Property
    void aSegmentsFileIsOfTheNewestGenerationThatBeginsInOrBeforeIt(@ForAll("wals") Wal wal) {
        WalHistory history = wal.history().upTo(wal.end());
        for (long segment = 1; segment <= 4; segment++) {
            long last = segment * SEGMENT + SEGMENT - 1;
            assertEquals(history.generationAt(new Lsn(last)), history.generationOfSegment(segment, SEGMENT));
        }
    }

    @Property
    void lsnsSurviveTheirText(@ForAll long value) {
        assertEquals(new Lsn(value), Lsn.parse(new Lsn(value).toString()));
    }

    @Test
    void givenTermsOutOfOrder_whenMade_thenRefused() {
        WalHistory history = WalHistory.of(2, BEGIN);

        assertThrows(IllegalArgumentException.class, () -> history.append(2, BEGIN));
        assertThrows(IllegalArgumentException.class, () -> history.append(3, new Lsn(7)));
    }

    @Test
    void givenMalformedText_whenParsed_thenRefused() {
        for (String text : List.of("", "/", "0/", "/0", "0", "0/G", "123456789/0", "0/123456789", "-1/0", "0/+1")) {
            assertThrows(IllegalArgumentException.class, () -> Lsn.parse(text), text);
        }
    }

    @Test
    void givenPositionsAboveHalfTheRange_whenCompared_thenTheyAreUnsigned() {
        Lsn high = Lsn.parse("FFFFFFFF/0");
        assertEquals(high, Lsn.max(high, new Lsn(1)));
    }
}
