package io.spg99.storage.wal;

import java.util.ArrayList;
import java.util.List;

/**
 * The lineage of a timeline's WAL: which generation wrote which part. Generations rise, begins do not fall; a term ends
 * where the next begins; the last one is open. Equivalent to PostgreSQL's timeline history file of the last term.
 */
public record WalHistory(List<Term> terms) {

    /** One generation's part of the WAL, from {@code begin} on. */
    public record Term(int generation, Lsn begin) {}

    public WalHistory {
        terms = List.copyOf(terms);
        if (terms.isEmpty()) {
            throw new IllegalArgumentException("a history has at least one term");
        }
        for (int i = 1; i < terms.size(); i++) {
            Term before = terms.get(i - 1);
            Term term = terms.get(i);
            if (term.generation() <= before.generation() || term.begin().isBefore(before.begin())) {
                throw new IllegalArgumentException("terms out of order: before=" + before + " term=" + term);
            }
        }
    }

    public static WalHistory of(int generation, Lsn begin) {
        return new WalHistory(List.of(new Term(generation, begin)));
    }

    public Lsn begin() {
        return terms.getFirst().begin();
    }

    public Term last() {
        return terms.getLast();
    }

    /** This history with a new last term; the term before it ends at {@code begin}. */
    public WalHistory append(int generation, Lsn begin) {
        List<Term> longer = new ArrayList<>(terms);
        longer.add(new Term(generation, begin));
        return new WalHistory(longer);
    }

    /** This history up to {@code end}, without terms that hold no byte before it. */
    public WalHistory upTo(Lsn end) {
        List<Term> kept = new ArrayList<>(terms);
        while (kept.size() > 1 && !kept.getLast().begin().isBefore(end)) {
            kept.removeLast();
        }
        return new WalHistory(kept);
    }

    /** The generation that wrote the byte at {@code position}, which is not before {@link #begin}. */
    public int generationAt(Lsn position) {
        for (Term term : terms.reversed()) {
            if (!term.begin().isAfter(position)) {
                return term.generation();
            }
        }
        throw new IllegalArgumentException("before the history: position=" + position + " begin=" + begin());
    }

    /** Where the bytes that follow {@code position} stop being of the same generation; {@code end} at the latest. */
    public Lsn termEnd(Lsn position, Lsn end) {
        for (Term term : terms) {
            if (term.begin().isAfter(position)) {
                return Lsn.min(term.begin(), end);
            }
        }
        return end;
    }

    /** End of term {@code index} when the WAL as a whole ends at {@code end}. */
    public Lsn endOf(int index, Lsn end) {
        return index + 1 < terms.size() ? Lsn.min(terms.get(index + 1).begin(), end) : end;
    }

    /**
     * The last position that this WAL, ending at {@code end}, has in common with another one, ending at
     * {@code otherEnd}; the smaller begin if they share nothing.
     */
    public Lsn commonEnd(Lsn end, WalHistory other, Lsn otherEnd) {
        Lsn common = Lsn.min(begin(), other.begin());
        for (int i = 0; i < Math.min(terms.size(), other.terms.size()); i++) {
            if (!terms.get(i).equals(other.terms.get(i))) {
                break;
            }
            Lsn mine = endOf(i, end);
            Lsn theirs = other.endOf(i, otherEnd);
            common = Lsn.max(common, Lsn.min(mine, theirs));
            if (!mine.equals(theirs)) {
                break;
            }
        }
        return common;
    }

    /** The generation whose segment file holds the newest bytes of segment {@code segment}. */
    public int generationOfSegment(long segment, int segmentSize) {
        int generation = terms.getFirst().generation();
        for (Term term : terms) {
            if (term.begin().segment(segmentSize) <= segment) {
                generation = term.generation();
            }
        }
        return generation;
    }
}
