package io.spg99.storage.quorum;

import io.spg99.storage.safekeeper.SafekeeperCommand;
import io.spg99.storage.safekeeper.SafekeeperDirectory;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.SafekeeperReply;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import io.spg99.storage.wal.WalHistory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;

/**
 * Every decision of {@link WalQuorum}, apart from the actor, so that a simulation can run it: two of a timeline's three
 * Safekeepers decide where it ends and what is durable. Keeps nothing that could not be asked for again. For one thread;
 * the world is what it is given: refs, timers, a log.
 *
 * <pre>
 * phase         on                       does, then
 * idle          Create                   Create to all                    -> creating
 *               Prepare                  Promise to all                   -> promising
 *               Follow (prepared)        Attach to the established        -> following
 *               Delete                   Delete to all                    -> deleting
 * creating      two Created              answers Created; goes on for the third until the deadline
 * promising     two Promised             chooses the end, Establish       -> establishing
 *               Refused (higher)         answers Superseded               -> idle
 * establishing  two Established          answers Prepared; QuorumPosition -> prepared
 * prepared      late answers             looks after the third
 * following     two Positions beyond R   answers Following; QuorumPosition whenever it moves
 *               two Stranded             tells the owner Unfollowable, once
 *               fewer than two take WAL  tells the owner Waiting, if one is full
 *               Refused (higher)         stops following                  -> idle
 *               Release                  Detach and GetPosition to all    -> released
 * released      Positions                QuorumPosition when it moves: all that the writer left may be served
 * deleting      three Deleted            answers Deleted                  -> idle
 * any           a new request            the one under way is answered Unavailable
 * </pre>
 *
 * <p>For one generation the end is chosen once. Two choices could differ, and Safekeepers established for either would both
 * hold it to be the generation's; so whoever has to choose again needs another number, and is told by Superseded. That
 * includes an owner whose quorum died while it prepared.
 */
public final class QuorumProtocol {

    private enum Phase {
        IDLE,
        CREATING,
        PROMISING,
        ESTABLISHING,
        PREPARED,
        FOLLOWING,
        RELEASED,
        DELETING
    }

    private enum Tick implements QuorumCommand.Private {
        /** Asks again whoever did not answer. */
        RETRY,
        /** The third promise did not come in time to help. */
        DECIDE,
        DEADLINE
    }

    private final TimelineBase base;
    private final TimelineId timeline;
    private final SafekeeperDirectory safekeepers;
    private final WalQuorumSettings settings;
    private final TimerScheduler<QuorumCommand> timers;
    private final ActorRef<SafekeeperReply> replies;
    private final Supplier<Logger> log;

    private Phase phase = Phase.IDLE;

    /** Who waits for the request under way; null once it was answered. */
    private @Nullable ActorRef<QuorumReply> asker;

    private Duration nextRetry;

    /** Generation that the last choice was made for; 0 before the first. */
    private int chosenFor;

    /** Generation that was last prepared or is being prepared or followed; 0 before the first. */
    private int generation;

    /** Safekeepers that have answered the request of this phase. */
    private final Set<SafekeeperId> answered = new HashSet<>();

    /** Genuine promises for {@link #generation}. */
    private final Map<SafekeeperId, SafekeeperReply.Promised> promised = new TreeMap<>();

    /** Safekeepers that hold the promise for {@link #generation}, by promising or by being restored with it. */
    private final Set<SafekeeperId> bound = new HashSet<>();

    /** Safekeepers whose WAL is the chosen history up to its end. */
    private final Set<SafekeeperId> established = new HashSet<>();

    /** Safekeepers that were established for {@link #generation} at one time. */
    private final Set<SafekeeperId> onceEstablished = new HashSet<>();

    /** Safekeepers that know nothing of the timeline although they should: their disk is lost. */
    private final Set<SafekeeperId> lost = new HashSet<>();

    /** Safekeepers that have said, since another was found lost, that they still hold the promise and the WAL. */
    private final Set<SafekeeperId> confirmed = new HashSet<>();

    /** Where the WAL of all Safekeepers heard of can be had. */
    private final Map<SafekeeperId, WalSource> sources = new TreeMap<>();

    /** What went wrong last, by Safekeeper, for Unavailable's reason. */
    private final Map<SafekeeperId, String> troubles = new TreeMap<>();

    /** Chosen end of the timeline for {@link #generation}; null before the choice. */
    private @Nullable QuorumDecision decision;

    private @Nullable WriterAddress writer;

    /** Last position of each Safekeeper in {@link #generation}, while following. */
    private final Map<SafekeeperId, SafekeeperReply.Position> positions = new TreeMap<>();

    /** Last position heard of each Safekeeper in any generation. */
    private final Map<SafekeeperId, Lsn> flushed = new TreeMap<>();

    private Lsn quorum = Lsn.ZERO;

    /** WAL before it is archived and below a published snapshot, as somebody has said who knows. */
    private Lsn horizon;

    /** Safekeepers that the writer can give nothing any more, and where they stand. */
    private final Map<SafekeeperId, Lsn> stranded = new TreeMap<>();

    /** Who is told of events; null before the first Prepare. */
    private @Nullable ActorRef<QuorumEvent> owner;

    /** The owner has heard that two are stranded. */
    private boolean toldStranded;

    /** The owner has heard that commits wait for a snapshot. */
    private boolean toldWaiting;

    /** Up to where the owner has heard that the WAL goes. */
    private Lsn toldEnd = Lsn.ZERO;

    /** The owner has heard that more may follow. */
    private boolean toldOpen;

    /** @param replies where Safekeepers are to answer: leads to {@link #onReply} */
    public QuorumProtocol(
            TimelineBase base,
            SafekeeperDirectory safekeepers,
            WalQuorumSettings settings,
            TimerScheduler<QuorumCommand> timers,
            ActorRef<SafekeeperReply> replies,
            Supplier<Logger> log) {
        this.base = base;
        this.timeline = base.timeline();
        this.safekeepers = safekeepers;
        this.settings = settings;
        this.timers = timers;
        this.nextRetry = settings.firstRetry();
        this.horizon = base.start();
        this.replies = replies;
        this.log = log;
    }

    public void onCommand(QuorumCommand command) {
        switch (command) {
            case QuorumCommand.Create create -> onCreate(create);
            case QuorumCommand.Prepare prepare -> onPrepare(prepare);
            case QuorumCommand.Follow follow -> onFollow(follow);
            case QuorumCommand.Horizon told -> onHorizon(told);
            case QuorumCommand.Release release -> onRelease(release);
            case QuorumCommand.GetPositions get -> onGetPositions(get);
            case QuorumCommand.Delete delete -> onDelete(delete);
            case QuorumCommand.Private own -> onPrivate(own);
        }
    }

    private void onPrivate(QuorumCommand.Private own) {
        if (own instanceof Tick tick) {
            onTick(tick);
        }
    }

    private void onTick(Tick tick) {
        switch (tick) {
            case RETRY -> askAgain();
            case DECIDE -> onDecide();
            case DEADLINE -> onDeadline();
        }
    }

    private void onCreate(QuorumCommand.Create create) {
        begin(Phase.CREATING, create.replyTo());
        askAgain();
    }

    private void onPrepare(QuorumCommand.Prepare prepare) {
        begin(Phase.PROMISING, prepare.replyTo());
        owner = prepare.owner();
        if (prepare.generation() == chosenFor) {
            chooseNoMore();
            return;
        }
        generation = prepare.generation();
        promised.clear();
        bound.clear();
        established.clear();
        onceEstablished.clear();
        lost.clear();
        confirmed.clear();
        positions.clear();
        decision = null;
        writer = null;
        askAgain();
    }

    private void onFollow(QuorumCommand.Follow follow) {
        if (decision == null || follow.generation() != generation || established.size() < SafekeeperId.QUORUM) {
            follow.replyTo()
                    .tell(new QuorumReply.Unavailable("generation " + follow.generation() + " is not prepared"));
            return;
        }
        begin(Phase.FOLLOWING, follow.replyTo());
        writer = follow.writer();
        owner = follow.owner();
        toldStranded = false;
        stranded.clear();
        // Two make the writer ready. The third comes with the next look: now it would only compete with them, and with
        // the first client, for the machine.
        safekeepers.reachable().entrySet().stream()
                .filter(safekeeper -> established.contains(safekeeper.getKey()))
                .sorted(Map.Entry.comparingByKey())
                .limit(SafekeeperId.QUORUM)
                .forEach(safekeeper -> look(safekeeper.getKey(), safekeeper.getValue()));
        timers.startSingleTimer(Tick.RETRY, nextRetry);
    }

    private void onRelease(QuorumCommand.Release release) {
        if (release.generation() != generation || phase != Phase.FOLLOWING) {
            return;
        }
        begin(Phase.RELEASED, null);
        tellAll(safekeeper -> {
            safekeeper.tell(new SafekeeperCommand.Detach(timeline, generation, replies));
            safekeeper.tell(new SafekeeperCommand.GetPosition(timeline, replies));
        });
    }

    private void onHorizon(QuorumCommand.Horizon told) {
        horizon = Lsn.max(horizon, told.horizon().segmentStart(base.segmentSize()));
        if (phase == Phase.FOLLOWING && asker == null) {
            safekeepers.reachable().forEach(this::trim);
        }
    }

    /** Where the WAL of Safekeepers may begin: two have what lies before, as a snapshot of it could be made, and go on from there. */
    private Lsn horizonOf(QuorumDecision chosen) {
        Lsn known = phase == Phase.FOLLOWING ? quorum : chosen.end();
        return Lsn.min(horizon, known).segmentStart(base.segmentSize());
    }

    private void trim(SafekeeperId id, ActorRef<SafekeeperCommand> safekeeper) {
        QuorumDecision chosen = decision;
        if (chosen != null && established.contains(id)) {
            Lsn begin = horizonOf(chosen);
            if (begin.isAfter(base.start())) {
                safekeeper.tell(new SafekeeperCommand.Trim(timeline, generation, begin));
            }
        }
    }

    private void onGetPositions(QuorumCommand.GetPositions get) {
        get.replyTo().tell(new QuorumReply.Positions(generation, quorum, Map.copyOf(flushed)));
    }

    private void onDelete(QuorumCommand.Delete delete) {
        begin(Phase.DELETING, delete.replyTo());
        askAgain();
    }

    /** Every change of phase that a request makes goes through here. */
    private void begin(Phase next, @Nullable ActorRef<QuorumReply> newAsker) {
        answer(new QuorumReply.Unavailable("replaced by another request"));
        tellWaiting(List.of());
        move(next);
        asker = newAsker;
        answered.clear();
        troubles.clear();
        nextRetry = settings.firstRetry();
        timers.cancelAll();
        if (newAsker != null) {
            timers.startSingleTimer(Tick.DEADLINE, settings.deadline());
        }
    }

    private void move(Phase next) {
        log.get().debug("timeline={} generation={} quorum {} -> {}", timeline, generation, phase, next);
        phase = next;
    }

    private void answer(QuorumReply reply) {
        if (asker != null) {
            asker.tell(reply);
            asker = null;
        }
    }

    // Asking, and asking again

    private void askAgain() {
        Map<SafekeeperId, ActorRef<SafekeeperCommand>> reachable = safekeepers.reachable();
        reachable.forEach(this::ask);
        if (phase == Phase.FOLLOWING && asker == null) {
            tellAdvanced(false);
        }
        Duration wait = phase == Phase.FOLLOWING && asker == null ? settings.watchInterval() : nextRetry;
        nextRetry = min(nextRetry.multipliedBy(2), settings.lastRetry());
        boolean done = phase == Phase.IDLE
                || phase == Phase.RELEASED
                || (phase == Phase.PREPARED && established.size() == SafekeeperId.ALL.size());
        if (!done) {
            timers.startSingleTimer(Tick.RETRY, wait);
        }
    }

    private static Duration min(Duration a, Duration b) {
        return a.compareTo(b) < 0 ? a : b;
    }

    /** Says to one Safekeeper what it has to be told in this phase, if anything. Everything said may be repeated. */
    private void ask(SafekeeperId id, ActorRef<SafekeeperCommand> safekeeper) {
        switch (phase) {
            case IDLE, RELEASED -> {}
            case CREATING -> {
                if (!answered.contains(id)) {
                    safekeeper.tell(new SafekeeperCommand.Create(base, replies));
                }
            }
            case PROMISING -> {
                if (!promised.containsKey(id)) {
                    safekeeper.tell(new SafekeeperCommand.Promise(timeline, generation, replies));
                }
            }
            case ESTABLISHING, PREPARED -> establish(id, safekeeper);
            case FOLLOWING -> look(id, safekeeper);
            case DELETING -> {
                if (!answered.contains(id)) {
                    safekeeper.tell(new SafekeeperCommand.Delete(timeline, replies));
                }
            }
        }
    }

    private void establish(SafekeeperId id, ActorRef<SafekeeperCommand> safekeeper) {
        QuorumDecision chosen = decision;
        if (chosen == null || established.contains(id)) {
            return;
        }
        if (lost.contains(id)) {
            restore(id, safekeeper);
        } else if (bound.contains(id)) {
            sendEstablish(id, safekeeper, chosen);
        } else {
            safekeeper.tell(new SafekeeperCommand.Promise(timeline, generation, replies));
        }
    }

    private void sendEstablish(SafekeeperId id, ActorRef<SafekeeperCommand> safekeeper, QuorumDecision chosen) {
        safekeeper.tell(new SafekeeperCommand.Establish(
                timeline,
                generation,
                chosen.history(),
                chosen.end(),
                horizonOf(chosen),
                donorsFor(id, chosen),
                replies));
    }

    /**
     * An empty log is begun again only when it can no longer make a difference: both others have said, after the loss was
     * seen, that they are established and promised to nobody else. Otherwise a superseded quorum could win a vote back that
     * the lost disk had given away.
     */
    private void restore(SafekeeperId id, ActorRef<SafekeeperCommand> safekeeper) {
        if (phase != Phase.PREPARED && phase != Phase.FOLLOWING) {
            return;
        }
        if (confirmed.size() >= SafekeeperId.QUORUM) {
            safekeeper.tell(new SafekeeperCommand.Restore(base, generation, onceEstablished.contains(id), replies));
        } else {
            // It may not be lost at all: an old answer came late.
            safekeeper.tell(new SafekeeperCommand.Promise(timeline, generation, replies));
            askForConfirmation();
        }
    }

    private void askForConfirmation() {
        QuorumDecision chosen = decision;
        if (chosen != null) {
            safekeepers.reachable().forEach((id, safekeeper) -> {
                if (established.contains(id)) {
                    sendEstablish(id, safekeeper, chosen);
                }
            });
        }
    }

    private List<WalSource> donorsFor(SafekeeperId id, QuorumDecision chosen) {
        List<WalSource> donors = new ArrayList<>(chosen.donors());
        sources.forEach((source, address) -> {
            if (established.contains(source) && !donors.contains(address)) {
                donors.add(address);
            }
        });
        donors.removeIf(donor -> donor.safekeeper().equals(id));
        return donors;
    }

    /** While following: attaches who is established, establishes who is not, asks where the others are. */
    private void look(SafekeeperId id, ActorRef<SafekeeperCommand> safekeeper) {
        SafekeeperReply.Position position = positions.get(id);
        if (!established.contains(id)) {
            establish(id, safekeeper);
        } else if (position == null || !position.following()) {
            attach(id, safekeeper);
        } else {
            safekeeper.tell(new SafekeeperCommand.GetPosition(timeline, replies));
            trim(id, safekeeper);
        }
    }

    private void attach(SafekeeperId id, ActorRef<SafekeeperCommand> safekeeper) {
        WriterAddress address = writer;
        if (address != null) {
            List<WalSource> donors = sources.values().stream()
                    .filter(source -> !source.safekeeper().equals(id))
                    .toList();
            safekeeper.tell(new SafekeeperCommand.Attach(timeline, generation, address, donors, replies));
        }
    }

    private void tellAll(Consumer<ActorRef<SafekeeperCommand>> message) {
        safekeepers.reachable().values().forEach(message);
    }

    private void tell(SafekeeperId id, Consumer<ActorRef<SafekeeperCommand>> message) {
        ActorRef<SafekeeperCommand> safekeeper = safekeepers.reachable().get(id);
        if (safekeeper != null) {
            message.accept(safekeeper);
        }
    }

    // Answers of Safekeepers

    public void onReply(SafekeeperReply reply) {
        if (!reply.timeline().equals(timeline)) {
            return;
        }
        switch (reply) {
            case SafekeeperReply.Created created -> onCreated(created);
            case SafekeeperReply.Promised promise -> onPromised(promise);
            case SafekeeperReply.Refused refused -> onRefused(refused);
            case SafekeeperReply.UnknownTimeline unknown -> onUnknown(unknown);
            case SafekeeperReply.Established done -> onEstablished(done);
            case SafekeeperReply.Position position -> onPosition(position);
            case SafekeeperReply.Stranded at -> onStranded(at);
            case SafekeeperReply.Detached ignored -> {}
            case SafekeeperReply.Restored restored -> onRestored(restored);
            case SafekeeperReply.Deleted deleted -> onDeleted(deleted);
            case SafekeeperReply.Failed failed -> onFailed(failed);
        }
    }

    private void onCreated(SafekeeperReply.Created created) {
        if (phase != Phase.CREATING) {
            return;
        }
        answered.add(created.safekeeper());
        if (answered.size() == SafekeeperId.QUORUM) {
            answer(new QuorumReply.Created());
        }
        if (answered.size() == SafekeeperId.ALL.size()) {
            begin(Phase.IDLE, null);
        }
    }

    private void onPromised(SafekeeperReply.Promised promise) {
        if (promise.generation() != generation
                || phase == Phase.IDLE
                || phase == Phase.RELEASED
                || phase == Phase.DELETING) {
            return;
        }
        SafekeeperId id = promise.safekeeper();
        if (isUnborn(promise) && onceEstablished.contains(id)) {
            lose(id, "was created again");
            return;
        }
        promised.put(id, promise);
        bound.add(id);
        lost.remove(id);
        sources.put(id, promise.source());
        flushed.put(id, promise.flushed());
        horizon = Lsn.max(horizon, promise.horizon());
        switch (phase) {
            case PROMISING -> {
                if (promised.size() == SafekeeperId.ALL.size() || (mayDecide() && agree())) {
                    decide();
                } else if (mayDecide()) {
                    timers.startSingleTimer(Tick.DECIDE, settings.thirdWait());
                }
            }
            // What the third has more than the two was not acknowledged: it is left out, for the choice is made.
            case ESTABLISHING -> {
                if (decision != null && !canWait(id, decision)) {
                    tell(id, safekeeper -> ask(id, safekeeper));
                }
            }
            // The next look sees to the third: what it may have to fetch now would compete with the start.
            case PREPARED, FOLLOWING, IDLE, CREATING, RELEASED, DELETING -> {}
        }
    }

    /**
     * Two promises decide. But a log that no generation was ever established on, although there has been one, may stand
     * where one was lost, if a Create came late: then the two others have to be heard, too. If one of them says that it is
     * the lost one, that log is what it seems.
     */
    private boolean mayDecide() {
        long counting = promised.values().stream()
                .filter(promise -> generation == TimelineBase.CREATION + 1 || !isUnborn(promise))
                .count();
        return counting >= SafekeeperId.QUORUM
                || (promised.size() >= SafekeeperId.QUORUM && promised.size() + lost.size() == SafekeeperId.ALL.size());
    }

    private static boolean isUnborn(SafekeeperReply.Promised promise) {
        return promise.established() == TimelineBase.CREATION;
    }

    /** A Safekeeper turns out not to hold the promise it gave, or never to have given it. */
    private void withdraw(SafekeeperId id) {
        promised.remove(id);
        bound.remove(id);
        established.remove(id);
        positions.remove(id);
        if (phase == Phase.ESTABLISHING && promised.size() < SafekeeperId.QUORUM) {
            chooseNoMore();
        }
    }

    /** A generation chooses once: the next one has to have another number. */
    private void chooseNoMore() {
        supersededBy(generation);
    }

    private void supersededBy(int other) {
        answer(new QuorumReply.Superseded(generation, other));
        established.clear();
        decision = null;
        begin(Phase.IDLE, null);
    }

    /** True if all promises name the same end: nothing that the third could say would spare us work. */
    private boolean agree() {
        return QuorumDecision.choose(List.copyOf(promised.values())).donors().size() == promised.size()
                && promised.values().stream()
                                .map(SafekeeperReply.Promised::flushed)
                                .distinct()
                                .count()
                        == 1;
    }

    private void onDecide() {
        if (phase == Phase.PROMISING && mayDecide()) {
            decide();
        }
    }

    private void decide() {
        QuorumDecision best = QuorumDecision.choose(List.copyOf(promised.values()));
        decision = best;
        chosenFor = generation;
        log.get()
                .info(
                        "timeline={} generation={} begins at end={} of generation={}, promised by {}",
                        timeline,
                        generation,
                        best.end(),
                        best.history().last().generation(),
                        promised.keySet());
        announce(best);
        move(Phase.ESTABLISHING);
        nextRetry = settings.firstRetry();
        safekeepers.reachable().forEach((id, safekeeper) -> {
            if (promised.containsKey(id) && !canWait(id, best)) {
                establish(id, safekeeper);
            }
        });
        timers.startSingleTimer(Tick.RETRY, nextRetry);
    }

    /** Where two have everything, to establish it is only to write it down: a compute need not wait for that. */
    private void announce(QuorumDecision chosen) {
        ActorRef<QuorumEvent> told = owner;
        if (told != null && chosen.donors().size() >= SafekeeperId.QUORUM) {
            told.tell(new QuorumEvent.Chosen(generation, chosen.history(), chosen.end(), chosen.donors()));
        }
    }

    /** Two have everything: a third that has to fetch would only compete with the start. The next look sees to it. */
    private static boolean canWait(SafekeeperId id, QuorumDecision chosen) {
        return chosen.donors().size() >= SafekeeperId.QUORUM
                && chosen.donors().stream()
                        .noneMatch(donor -> donor.safekeeper().equals(id));
    }

    private void onRefused(SafekeeperReply.Refused refused) {
        if (refused.generation() != generation) {
            return;
        }
        if (refused.promised() < generation) {
            withdraw(refused.safekeeper());
            return;
        }
        if (refused.promised() == generation && phase != Phase.PROMISING) {
            // A Promise came late, after our own Establish: the answer proves that the promise is still there.
            lost.remove(refused.safekeeper());
            bound.add(refused.safekeeper());
            return;
        }
        switch (phase) {
            case PROMISING, ESTABLISHING, PREPARED, FOLLOWING, RELEASED -> {
                log.get()
                        .info(
                                "timeline={} generation={} superseded: safekeeper={} promised={}",
                                timeline,
                                generation,
                                refused.safekeeper(),
                                refused.promised());
                supersededBy(refused.promised());
            }
            case IDLE, CREATING, DELETING -> {}
        }
    }

    private void onUnknown(SafekeeperReply.UnknownTimeline unknown) {
        SafekeeperId id = unknown.safekeeper();
        troubles.put(id, "does not know the timeline");
        switch (phase) {
            case PROMISING, ESTABLISHING, PREPARED, FOLLOWING -> {
                lose(id, "does not know the timeline");
            }
            case IDLE, CREATING, RELEASED, DELETING -> {}
        }
    }

    private void lose(SafekeeperId id, String what) {
        withdraw(id);
        if (lost.add(id)) {
            log.get().warn("timeline={} safekeeper={} {}: its disk was lost", timeline, id, what);
            confirmed.clear();
            tell(id, safekeeper -> establish(id, safekeeper));
            if (phase == Phase.PROMISING && mayDecide()) {
                decide();
            }
        }
    }

    private void onRestored(SafekeeperReply.Restored restored) {
        sources.put(restored.safekeeper(), restored.source());
        if (lost.remove(restored.safekeeper())) {
            bound.add(restored.safekeeper());
            tell(restored.safekeeper(), safekeeper -> ask(restored.safekeeper(), safekeeper));
        }
    }

    private void onEstablished(SafekeeperReply.Established done) {
        QuorumDecision chosen = decision;
        if (done.generation() != generation || chosen == null || !done.end().equals(chosen.end())) {
            return;
        }
        SafekeeperId id = done.safekeeper();
        boolean first = established.add(id);
        onceEstablished.add(id);
        flushed.merge(id, done.end(), Lsn::max);
        if (!lost.isEmpty()
                && (phase == Phase.PREPARED || phase == Phase.FOLLOWING)
                && confirmed.add(id)
                && confirmed.size() == SafekeeperId.QUORUM) {
            restoreLost();
        }
        switch (phase) {
            case ESTABLISHING -> {
                if (established.size() >= SafekeeperId.QUORUM) {
                    onPrepared(chosen);
                }
            }
            case PREPARED -> sendQuorum(id);
            case FOLLOWING -> {
                sendQuorum(id);
                if (first) {
                    tell(id, safekeeper -> attach(id, safekeeper));
                }
            }
            case IDLE, CREATING, PROMISING, RELEASED, DELETING -> {}
        }
    }

    private void onPrepared(QuorumDecision chosen) {
        quorum = chosen.end();
        established.forEach(this::sendQuorum);
        // First those that had all of it from the start.
        List<WalSource> complete = established.stream()
                .sorted(Comparator.comparing(
                                (SafekeeperId id) -> !chosen.donors().contains(sources.get(id)))
                        .thenComparing(Comparator.naturalOrder()))
                .map(sources::get)
                .filter(source -> source != null)
                .toList();
        answer(new QuorumReply.Prepared(generation, chosen.history(), chosen.end(), complete));
        move(Phase.PREPARED);
        timers.cancel(Tick.DEADLINE);
        restoreLost();
    }

    private void restoreLost() {
        lost.forEach(id -> tell(id, safekeeper -> establish(id, safekeeper)));
    }

    private void sendQuorum(SafekeeperId id) {
        tell(id, safekeeper -> safekeeper.tell(new SafekeeperCommand.QuorumPosition(timeline, generation, quorum)));
    }

    private void onPosition(SafekeeperReply.Position position) {
        SafekeeperId id = position.safekeeper();
        QuorumDecision chosen = decision;
        if ((phase != Phase.FOLLOWING && phase != Phase.RELEASED) || chosen == null) {
            return;
        }
        if (position.promised() > generation) {
            onRefused(new SafekeeperReply.Refused(id, timeline, generation, position.promised()));
            return;
        }
        flushed.put(id, position.flushed());
        positions.put(id, position);
        stranded.computeIfPresent(id, (any, at) -> position.flushed().isAfter(at) ? null : at);
        if (position.generation() != generation) {
            if (!position.following() && position.flushed().isBefore(chosen.end())) {
                established.remove(id);
            }
            return;
        }
        if (asker != null && followers(chosen) >= SafekeeperId.QUORUM) {
            log.get().info("timeline={} generation={} is followed by a quorum", timeline, generation);
            answer(new QuorumReply.Following(generation));
            timers.cancel(Tick.DEADLINE);
            if (chosen.end().isAfter(toldEnd)) {
                tellAdvanced(chosen.history(), chosen.end(), true);
            }
        }
        Lsn now = quorumPosition();
        if (now.isAfter(quorum)) {
            quorum = now;
            safekeepers.reachable().forEach((other, safekeeper) -> {
                if (established.contains(other)) {
                    safekeeper.tell(new SafekeeperCommand.QuorumPosition(timeline, generation, now));
                }
            });
        }
        if (phase == Phase.FOLLOWING) {
            tellWaiting(fullOnes());
        }
        if (phase == Phase.RELEASED) {
            tellAdvanced(true);
        }
    }

    private void tellAdvanced(boolean over) {
        QuorumDecision chosen = decision;
        boolean news = quorum.isAfter(toldEnd) || (over && toldOpen) || toldWaiting;
        if (chosen != null && quorum.isAfter(chosen.end()) && news) {
            tellAdvanced(chosen.history().append(generation, chosen.end()), quorum, over);
        }
    }

    private void tellAdvanced(WalHistory history, Lsn end, boolean over) {
        ActorRef<QuorumEvent> told = owner;
        if (told != null) {
            toldEnd = end;
            toldOpen = !over;
            told.tell(new QuorumEvent.Advanced(generation, history, end, List.copyOf(sources.values()), over));
        }
    }

    /** Safekeepers that hold as much WAL as they may, if for want of them commits wait. */
    private List<SafekeeperId> fullOnes() {
        long takers = positions.values().stream()
                .filter(position -> position.following() && !position.full())
                .count();
        return takers >= SafekeeperId.QUORUM
                ? List.of()
                : positions.values().stream()
                        .filter(SafekeeperReply.Position::full)
                        .map(SafekeeperReply.Position::safekeeper)
                        .toList();
    }

    private void tellWaiting(List<SafekeeperId> full) {
        ActorRef<QuorumEvent> told = owner;
        if (told != null && toldWaiting == full.isEmpty()) {
            toldWaiting = !full.isEmpty();
            told.tell(new QuorumEvent.Waiting(
                    generation,
                    Optional.of(full)
                            .filter(any -> toldWaiting)
                            .map(any -> "commits wait: the Safekeepers " + any
                                    + " hold as much WAL as they may, until the next snapshot is published")));
        }
    }

    /** One alone fills up from a peer sooner or later. With two of them no commit could ever be acknowledged again. */
    private void onStranded(SafekeeperReply.Stranded at) {
        if (phase != Phase.FOLLOWING || at.generation() != generation) {
            return;
        }
        QuorumDecision chosen = decision;
        if (chosen != null && at.flushed().isBefore(horizonOf(chosen))) {
            // The others have removed it as well: it begins again at their horizon.
            tell(at.safekeeper(), safekeeper -> sendEstablish(at.safekeeper(), safekeeper, chosen));
            return;
        }
        stranded.put(at.safekeeper(), at.flushed());
        ActorRef<QuorumEvent> told = owner;
        if (stranded.size() >= SafekeeperId.QUORUM && told != null && !toldStranded) {
            toldStranded = true;
            String reason = "the writer no longer has the WAL that its Safekeepers lack: " + stranded;
            log.get().error("timeline={} generation={} {}", timeline, generation, reason);
            told.tell(new QuorumEvent.Unfollowable(generation, reason));
        }
    }

    private long followers(QuorumDecision chosen) {
        return positions.values().stream()
                .filter(position -> position.generation() == generation
                        && position.following()
                        && position.flushed().isAfter(chosen.end()))
                .count();
    }

    /** The second highest position in this generation. */
    private Lsn quorumPosition() {
        return positions.values().stream()
                .filter(position -> position.generation() == generation)
                .map(SafekeeperReply.Position::flushed)
                .sorted(Comparator.reverseOrder())
                .skip(SafekeeperId.QUORUM - 1)
                .findFirst()
                .orElse(Lsn.ZERO);
    }

    private void onDeleted(SafekeeperReply.Deleted deleted) {
        if (phase != Phase.DELETING) {
            return;
        }
        answered.add(deleted.safekeeper());
        if (answered.size() == SafekeeperId.ALL.size()) {
            answer(new QuorumReply.Deleted());
            begin(Phase.IDLE, null);
        }
    }

    private void onFailed(SafekeeperReply.Failed failed) {
        if (!failed.reason().equals(troubles.put(failed.safekeeper(), failed.reason()))) {
            log.get().warn("timeline={} safekeeper={} failed: {}", timeline, failed.safekeeper(), failed.reason());
        }
        positions.remove(failed.safekeeper());
        if (phase == Phase.FOLLOWING) {
            established.remove(failed.safekeeper());
        }
    }

    private void onDeadline() {
        if (phase == Phase.CREATING && asker == null) {
            // The third is left to Prepare, which restores who does not know the timeline.
            begin(Phase.IDLE, null);
            return;
        }
        answer(new QuorumReply.Unavailable(reason()));
        if (phase != Phase.FOLLOWING) {
            begin(Phase.IDLE, null);
        }
    }

    private String reason() {
        List<String> parts = new ArrayList<>();
        Set<SafekeeperId> reachable = safekeepers.reachable().keySet();
        for (SafekeeperId id : SafekeeperId.ALL) {
            String trouble = troubles.get(id);
            if (!reachable.contains(id)) {
                parts.add(id + " cannot be reached");
            } else if (trouble != null) {
                parts.add(id + " " + trouble);
            }
        }
        String phaseName = phase.name().toLowerCase(Locale.ROOT);
        return "no quorum of Safekeepers within " + settings.deadline().toMillis() + " ms (" + phaseName + ")"
                + (parts.isEmpty() ? "" : ": " + String.join(", ", parts));
    }
}
