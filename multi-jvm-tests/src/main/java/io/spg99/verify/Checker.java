package io.spg99.verify;

import io.spg99.nodes.safekeeper.log.Segment;
import io.spg99.nodes.safekeeper.log.TimelineLog;
import io.spg99.storage.quorum.QuorumEvent;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import io.spg99.verify.Coverage.Visited;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Knows all that was ever written, promised, acknowledged and served, and holds it against rules W1 to W6. */
final class Checker {

    /** After every position. */
    static final Lsn NOWHERE = new Lsn(-1L);

    private final Scheduler scheduler;
    private final Coverage coverage;

    /** What each generation wrote. */
    private final Map<Integer, GenerationWal> truth = new HashMap<>();

    /** Per Safekeeper and generation, how far it ever had durable WAL of it. */
    private final Map<SafekeeperSim, Map<Integer, Lsn>> held = new HashMap<>();

    /** Per generation, how far commits were acknowledged to clients. */
    private final Map<Integer, Lsn> acknowledged = new TreeMap<>();

    /** The one history: the longest that a commit was acknowledged in or that was given to others than Safekeepers. */
    private WalHistory committed;

    private Lsn committedEnd;

    private final Map<Integer, QuorumReply.Prepared> prepared = new TreeMap<>();
    /** Of each generation that was chosen or prepared, with its own begin. */
    private final Map<Integer, WalHistory> begun = new TreeMap<>();

    Checker(Scheduler scheduler, Coverage coverage, GenerationWal creation) {
        this.scheduler = scheduler;
        this.coverage = coverage;
        this.committed = creation.lineage();
        this.committedEnd = creation.end();
        written(creation);
    }

    void written(GenerationWal wal) {
        if (truth.put(wal.generation(), wal) != null) {
            throw new Violation("one history", "two writers of generation=" + wal.generation());
        }
    }

    // W1

    /** A promise leaves: a crash now must find it again, and the WAL it speaks of. */
    void promised(SafekeeperSim safekeeper, int generation, WalHistory history, Lsn flushed) {
        TimelineLog found = probe(safekeeper);
        if (found.view().promised() != generation) {
            throw new Violation(
                    "W1",
                    "%s promises generation=%d, its disk says %d"
                            .formatted(safekeeper, generation, found.view().promised()));
        }
        contains("W1", safekeeper + " would come back", found.view(), history, flushed);
    }

    /** A position leaves. */
    void reported(SafekeeperSim safekeeper, int generation, Lsn flushed) {
        TimelineLog.View view = safekeeper.view();
        boolean has = view != null
                && !view.flushed().isBefore(flushed)
                && (view.generation() >= generation
                        || !flushed.isAfter(wal(generation).begin()));
        if (view == null || !has) {
            throw new Violation(
                    "W3",
                    "%s reports %s of generation=%d, its log says %s".formatted(safekeeper, flushed, generation, view));
        }
        changed(safekeeper);
        if (scheduler.chance(0.1)) {
            contains("W1", safekeeper + " would come back", probe(safekeeper).view(), view.history(), flushed);
        }
    }

    /** An Established leaves. */
    void established(SafekeeperSim safekeeper, Lsn end) {
        TimelineLog.View view = safekeeper.view();
        if (view == null || view.flushed().isBefore(end)) {
            throw new Violation("W3", safekeeper + " is established up to " + end + ", its log says " + view);
        }
        contains(
                "W1",
                safekeeper + " would come back",
                probe(safekeeper).view(),
                view.history().upTo(end),
                end);
    }

    /** What a crash at this moment would leave, all that was not synced being lost. */
    private TimelineLog probe(SafekeeperSim safekeeper) {
        coverage.count(Visited.CRASH_PROBES);
        try {
            TimelineLog log = TimelineLog.open(safekeeper.disk().afterPowerCut());
            if (log == null) {
                throw new Violation("W1", safekeeper + " has nothing on its disk");
            }
            return log;
        } catch (IOException e) {
            throw new Violation("W1", safekeeper + " could not be opened after a crash now: " + e, e);
        }
    }

    /** After a restart everything said before is there still; unless it was being cut when it died. */
    void reopened(SafekeeperSim safekeeper, TimelineLog.View before, TimelineLog.View after) {
        if (!safekeeper.diedCutting()) {
            contains("W1", safekeeper + " came back", after, before.history(), before.flushed());
        }
        if (after.promised() < safekeeper.answeredPromise()) {
            throw new Violation(
                    "W1",
                    "%s promised generation=%d and came back with %d"
                            .formatted(safekeeper, safekeeper.answeredPromise(), after.promised()));
        }
    }

    private static void contains(String rule, String who, TimelineLog.View view, WalHistory history, Lsn end) {
        if (!history.commonEnd(end, view.history(), view.flushed()).equals(end)) {
            throw new Violation(
                    rule,
                    "%s with %s up to %s instead of %s up to %s"
                            .formatted(who, terms(view.history()), view.flushed(), terms(history), end));
        }
    }

    private static String terms(WalHistory history) {
        StringBuilder text = new StringBuilder();
        for (WalHistory.Term term : history.terms()) {
            text.append(text.isEmpty() ? "" : ",")
                    .append(term.generation())
                    .append('@')
                    .append(term.begin());
        }
        return text.toString();
    }

    // W2

    /** A Safekeeper writes WAL that it has taken under a promise for {@code generation}. */
    void taken(SafekeeperSim safekeeper, int generation) {
        if (generation < safekeeper.answeredPromise()) {
            throw new Violation(
                    "W2",
                    "%s takes WAL for generation=%d although it promised %d"
                            .formatted(safekeeper, generation, safekeeper.answeredPromise()));
        }
    }

    void followsNobodyBelow(SafekeeperSim safekeeper, int generation, List<SimConnection> connections) {
        for (SimConnection connection : connections) {
            if (connection.client().equals(safekeeper.instance())
                    && connection.isInUse()
                    && connection.server().generation() > 0
                    && connection.server().generation() < generation) {
                throw new Violation(
                        "W2",
                        "%s promised generation=%d and still follows %s"
                                .formatted(safekeeper, generation, connection.server()));
            }
        }
    }

    // W3 and W6

    /** Looks at what has changed on a Safekeeper's disk: its log must speak the truth about every byte. */
    void changed(SafekeeperSim safekeeper) {
        TimelineLog.View view = safekeeper.view();
        if (view == null) {
            return;
        }
        TimelineLog.View known = safekeeper.verified();
        Lsn changed = safekeeper.disk().takeChanged();
        if (view.equals(known) && !changed.isBefore(view.flushed())) {
            return;
        }
        Lsn from = known == null
                ? view.history().begin()
                : Lsn.min(changed, view.history().commonEnd(view.flushed(), known.history(), known.flushed()));
        verify(safekeeper, view, Lsn.max(from, view.horizon()));
        safekeeper.verified(view);
        if (known == null
                || !known.history().equals(view.history())
                || known.flushed().isBefore(view.flushed())) {
            hold(safekeeper, view);
        }
        if (known != null
                && known.flushed().segment(GenerationWal.SEGMENT_SIZE)
                        < view.flushed().segment(GenerationWal.SEGMENT_SIZE)) {
            coverage.count(Visited.SEGMENTS_COMPLETED);
        }
    }

    /** WAL before {@code position} is removed from a Safekeeper. */
    void removed(SafekeeperSim safekeeper, Lsn position, Lsn horizon) {
        if (position.isAfter(horizon)) {
            throw new Violation(
                    "W6",
                    "%s removes WAL before %s, a snapshot lies beyond %s and that is archived"
                            .formatted(safekeeper, position, horizon));
        }
    }

    /** WAL is archived, and part of a snapshot. */
    void archived(WalHistory history, Lsn end) {
        Lsn quorum = quorum(history.last().generation());
        if (end.isAfter(quorum)) {
            throw new Violation(
                    "W6",
                    "generation=%d is archived up to %s, two Safekeepers have it up to %s"
                            .formatted(history.last().generation(), end, quorum));
        }
        committed("archived", history, end);
    }

    private void verify(SafekeeperSim safekeeper, TimelineLog.View view, Lsn from) {
        WalHistory history = view.history();
        GenerationWal last = truth.get(history.last().generation());
        if (last == null || !last.lineage().equals(history)) {
            throw new Violation(
                    "W3",
                    "%s has a history that never was: %s instead of %s"
                            .formatted(safekeeper, terms(history), last == null ? "none" : terms(last.lineage())));
        }
        for (int i = 0; i < history.terms().size(); i++) {
            WalHistory.Term term = history.terms().get(i);
            Lsn end = history.endOf(i, view.flushed());
            GenerationWal wal = wal(term.generation());
            for (Lsn at = Lsn.max(from, term.begin()); at.isBefore(end); ) {
                Lsn next =
                        Lsn.min(end, at.segmentStart(GenerationWal.SEGMENT_SIZE).plus(GenerationWal.SEGMENT_SIZE));
                long number = at.segment(GenerationWal.SEGMENT_SIZE);
                byte[] file = safekeeper.disk().durable(new Segment(term.generation(), number));
                int count = (int) next.minus(at);
                if (file == null || !wal.matches(at, file, at.offset(GenerationWal.SEGMENT_SIZE), count)) {
                    throw new Violation(
                            "W3",
                            "%s says it has all WAL up to %s, but %s..%s of generation=%d is %s on its disk"
                                    .formatted(
                                            safekeeper,
                                            view.flushed(),
                                            at,
                                            next,
                                            term.generation(),
                                            file == null ? "not" : "not right"));
                }
                at = next;
            }
        }
    }

    private GenerationWal wal(int generation) {
        GenerationWal wal = truth.get(generation);
        if (wal == null) {
            throw new Violation("one history", "nobody wrote generation=" + generation);
        }
        return wal;
    }

    private void hold(SafekeeperSim safekeeper, TimelineLog.View view) {
        Map<Integer, Lsn> mine = held.computeIfAbsent(safekeeper, any -> new HashMap<>());
        for (int i = 0; i < view.history().terms().size(); i++) {
            int generation = view.history().terms().get(i).generation();
            mine.merge(generation, view.history().endOf(i, view.flushed()), Lsn::max);
        }
    }

    /** How far two Safekeepers have ever had the WAL of a generation. */
    private Lsn quorum(int generation) {
        Lsn first = Lsn.ZERO;
        Lsn second = Lsn.ZERO;
        for (Map<Integer, Lsn> each : held.values()) {
            Lsn end = each.getOrDefault(generation, Lsn.ZERO);
            if (end.isAfter(first)) {
                second = first;
                first = end;
            } else if (end.isAfter(second)) {
                second = end;
            }
        }
        return second;
    }

    /** WAL that a writer has, of its own and of the generations before it. */
    ByteBuffer read(WalHistory lineage, Lsn from, Lsn to) {
        ByteBuffer all = ByteBuffer.allocate((int) to.minus(from));
        for (Lsn next = from; next.isBefore(to); ) {
            Lsn stop = lineage.termEnd(next, to);
            all.put(wal(lineage.generationAt(next)).slice(next, stop));
            next = stop;
        }
        return all.flip();
    }

    // W4

    /** A Safekeeper gives WAL to somebody who is none; called as the bytes leave. */
    void given(SafekeeperSim safekeeper, WalHistory lineage, Lsn at, ByteBuffer bytes) {
        Lsn end = at.plus(bytes.remaining());
        right(lineage, at, bytes);
        for (int i = 0; i < lineage.terms().size(); i++) {
            WalHistory.Term term = lineage.terms().get(i);
            Lsn termEnd = lineage.endOf(i, end);
            if (termEnd.isAfter(Lsn.max(at, term.begin()))) {
                Lsn quorum = quorum(term.generation());
                if (termEnd.isAfter(quorum)) {
                    throw new Violation(
                            "W4",
                            "%s gives WAL of generation=%d up to %s, two have it up to %s"
                                    .formatted(safekeeper, term.generation(), termEnd, quorum));
                }
                if (termEnd.equals(quorum)) {
                    coverage.count(Visited.READS_AT_THE_QUORUM_POSITION);
                }
            }
        }
        committed("given to a reader", lineage.upTo(end), end);
    }

    /** WAL on its way is what was written. */
    void right(WalHistory lineage, Lsn at, ByteBuffer bytes) {
        Lsn end = at.plus(bytes.remaining());
        for (Lsn next = at; next.isBefore(end); ) {
            int generation = lineage.generationAt(next);
            Lsn stop = lineage.termEnd(next, end);
            ByteBuffer part = bytes.slice(bytes.position() + (int) next.minus(at), (int) stop.minus(next));
            if (!wal(generation).matches(next, part)) {
                throw new Violation(
                        "one history", "what is sent at " + next + " is not what generation=" + generation + " wrote");
            }
            next = stop;
        }
    }

    // W5 and the one history

    /** A writer tells a client that its commit, which ends at {@code end}, is done. */
    void acknowledged(int generation, Lsn end) {
        coverage.count(Visited.COMMITS_ACKNOWLEDGED);
        Lsn quorum = quorum(generation);
        if (end.isAfter(quorum)) {
            throw new Violation(
                    "W5",
                    "generation=%d acknowledges a commit at %s, two Safekeepers have its WAL up to %s"
                            .formatted(generation, end, quorum));
        }
        acknowledged.merge(generation, end, Lsn::max);
        prepared.forEach((later, answer) -> {
            if (later > generation && !includes(answer, generation, end)) {
                throw new Violation("W5", lacks(answer, generation, end));
            }
        });
        committed("acknowledged", wal(generation).lineage().upTo(end), end);
    }

    /** A disk is lost: every acknowledged commit is on another one. */
    void lost(SafekeeperSim lost, Collection<SafekeeperSim> all) {
        acknowledged.forEach((generation, end) -> {
            WalHistory history = wal(generation).lineage().upTo(end);
            boolean elsewhere = all.stream()
                    .filter(other -> !other.equals(lost))
                    .anyMatch(other -> {
                        TimelineLog.View view = other.verified();
                        return view != null
                                && history.commonEnd(end, view.history(), view.flushed())
                                        .equals(end);
                    });
            if (!elsewhere) {
                throw new Violation(
                        "W5",
                        "%s was the last to have a commit acknowledged at %s by generation=%d"
                                .formatted(lost, end, generation));
            }
        });
    }

    /** Either it is part of the one history, or that is part of it. */
    private void committed(String what, WalHistory history, Lsn end) {
        Lsn common = history.commonEnd(end, committed, committedEnd);
        if (common.equals(end)) {
            return;
        }
        if (!common.equals(committedEnd)) {
            throw new Violation(
                    "one history",
                    "%s up to %s is %s, which leaves %s up to %s at %s"
                            .formatted(terms(history), end, what, terms(committed), committedEnd, common));
        }
        committed = history;
        committedEnd = end;
    }

    private static boolean includes(QuorumReply.Prepared answer, int generation, Lsn end) {
        return !end.isAfter(answer.end()) && answer.history().generationAt(end.plus(-1)) == generation;
    }

    private static String lacks(QuorumReply.Prepared answer, int generation, Lsn end) {
        return "generation=%d begins at %s with history %s, which lacks a commit acknowledged at %s by generation=%d"
                .formatted(answer.generation(), answer.end(), terms(answer.history()), end, generation);
    }

    /** Where a generation is to begin. */
    void prepared(QuorumReply.Prepared answer) {
        coverage.count(Visited.GENERATIONS_PREPARED);
        acknowledged.forEach((generation, end) -> {
            if (generation < answer.generation() && !includes(answer, generation, end)) {
                throw new Violation("W5", lacks(answer, generation, end));
            }
        });
        prepared.put(answer.generation(), answer);
        beginsOnce(answer.generation(), answer.history(), answer.end());
    }

    /** Where a generation may recover to, while it is not prepared yet. */
    void chosen(QuorumEvent.Chosen chosen) {
        beginsOnce(chosen.generation(), chosen.history(), chosen.end());
    }

    private void beginsOnce(int generation, WalHistory history, Lsn end) {
        WalHistory begins = history.append(generation, end);
        WalHistory before = begun.put(generation, begins);
        if (before != null && !before.equals(begins)) {
            throw new Violation(
                    "one history",
                    "generation=%d begins with history %s, and before that with %s"
                            .formatted(generation, terms(begins), terms(before)));
        }
    }
}
