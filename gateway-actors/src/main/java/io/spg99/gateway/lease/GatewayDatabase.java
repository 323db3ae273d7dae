package io.spg99.gateway.lease;

import java.time.Duration;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.LongConsumer;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.PostStop;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One database as one Gateway sees it: holds the lease for all of this Gateway's sessions, which share a pool. Child of
 * {@link GatewayRegistry}, stopped by it when the last session has gone. If it fails, every session is told that its
 * writer is lost: nobody would renew the lease.
 *
 * <pre>
 * no lease, nobody waits    -- Checkout --------------> acquiring (Acquire sent, and again every retry)
 * acquiring                 -- Coming ----------------> acquiring (the first of the waiting holders may connect)
 * acquiring                 -- Granted ---------------> leased (every waiting holder is granted)
 * acquiring                 -- Refused ---------------> no lease (every waiting holder is refused)
 * leased                    -- Checkout --------------> leased (granted at once)
 * leased                    -- Revoked ---------------> no lease, or acquiring if somebody waits
 * leased                    -- ConnectFailed ---------> leased and acquiring: the database confirms the lease or revokes it
 * leased                    -- Frozen ----------------> leased; every holder is told, and what it says is passed on
 * any                       -- last Return -----------> Release, no lease
 * </pre>
 *
 * A holder is a pool of server connections; whom it lends them to is no business of actors.
 */
final class GatewayDatabase {

    sealed interface Command {}

    /** @param connections client connections that count as activity of the database */
    record Checkout(LeaseHolder holder, int connections) implements Command {}

    /** The holder has so many of them now. */
    record Count(LeaseHolder holder, int connections, int waiting) implements Command {}

    record Draining(LeaseHolder holder, int freeze, int running, int pinned) implements Command {}

    record Return(LeaseHolder holder) implements Command {}

    /** The writer of this generation could not be connected to; the holder waits again. */
    record ConnectFailed(LeaseHolder holder, int generation) implements Command {}

    enum Stop implements Command {
        INSTANCE
    }

    private record FromDatabase(LeaseEvent event) implements Command {}

    private enum AcquireAgain implements Command {
        INSTANCE
    }

    private enum RenewDue implements Command {
        INSTANCE
    }

    private static final Logger LOG = LoggerFactory.getLogger(GatewayDatabase.class);

    /** A third of the ttl: two renewals may be lost. */
    private static final int RENEWALS_PER_TTL = 3;

    /**
     * Sessions that may connect ahead of the lease, per generation: a starting PostgreSQL is not to be kept busy with a
     * herd, nor its connections taken up, before it is ready. The others connect when they are granted.
     */
    static final int MAX_AHEAD = 20;

    /**
     * @param queue      clients that have waited for long
     * @param generation the lease it was granted last; zero while it waits for one
     */
    private record Holder(int connections, int queue, int generation) {
        boolean waits() {
            return generation == 0;
        }
    }

    private final String databaseId;
    private final LeaseSettings settings;
    private final DatabaseLeases leases;
    private final LeaseMetrics metrics;
    private final TimerScheduler<Command> timers;
    private final ActorRef<LeaseEvent> events;

    /** Told the number of checkouts seen, whenever nobody is left: the registry stops us if it has sent no more. */
    private final LongConsumer emptied;

    /** In the order they came. */
    private final Map<LeaseHolder, Holder> holders = new LinkedHashMap<>();

    private Optional<Lease> lease = Optional.empty();
    /** Highest generation known to be gone; an older grant is a late message. Zero at first. */
    private int revokedGeneration;
    /** The newest writer said to be coming up, until there is an answer to the Acquire. */
    private Optional<LeaseEvent.Coming> coming = Optional.empty();
    /** How many holders were told of it. */
    private int toldComing;
    /** The freeze that holds; empty at first and without a lease. */
    private Optional<LeaseEvent.Frozen> frozen = Optional.empty();
    /** Number of the last freeze of this lease that was begun or ended; zero before the first. */
    private int lastFreeze;
    /** What each holder last said while frozen. */
    private final Map<LeaseHolder, Draining> draining = new HashMap<>();
    /** An Acquire is under way. */
    private boolean acquiring;
    /** Counted connections at the last Renew. */
    private int countTold;
    /** Clients in the queue at the last Renew. */
    private int queueTold;

    private long checkouts;

    private GatewayDatabase(
            String databaseId,
            LeaseSettings settings,
            DatabaseLeases leases,
            LeaseMetrics metrics,
            LongConsumer emptied,
            ActorContext<Command> context,
            TimerScheduler<Command> timers) {
        this.databaseId = databaseId;
        this.settings = settings;
        this.leases = leases;
        this.metrics = metrics;
        this.emptied = emptied;
        this.timers = timers;
        this.events = context.messageAdapter(LeaseEvent.class, FromDatabase::new);
    }

    static Behavior<Command> create(
            String databaseId,
            LeaseSettings settings,
            DatabaseLeases leases,
            LeaseMetrics metrics,
            LongConsumer emptied) {
        return Behaviors.setup(context -> Behaviors.withTimers(timers ->
                new GatewayDatabase(databaseId, settings, leases, metrics, emptied, context, timers).behavior()));
    }

    private Behavior<Command> behavior() {
        return Behaviors.receive(Command.class)
                .onMessage(Command.class, this::onCommand)
                .onSignal(PostStop.class, signal -> onPostStop())
                .build();
    }

    private Behavior<Command> onCommand(Command command) {
        switch (command) {
            case Checkout checkout -> onCheckout(checkout);
            case Count count -> onCount(count);
            case Draining draining -> onDraining(draining);
            case Return returned -> onReturn(returned);
            case ConnectFailed failed -> onConnectFailed(failed);
            case FromDatabase from -> onEvent(from.event());
            case AcquireAgain again -> onAcquireAgain();
            case RenewDue due -> renew();
            case Stop stop -> {
                return Behaviors.stopped();
            }
        }
        return Behaviors.same();
    }

    private void onEvent(LeaseEvent event) {
        switch (event) {
            case LeaseEvent.Coming next -> onComing(next);
            case LeaseEvent.Granted granted -> onGranted(granted);
            case LeaseEvent.Frozen frozen -> onFrozen(frozen);
            case LeaseEvent.Resumed resumed -> onResumed(resumed);
            case LeaseEvent.Revoked revoked -> onRevoked(revoked.generation(), revoked.reason());
            case LeaseEvent.Refused refused -> onRefused(refused);
        }
    }

    private void onCheckout(Checkout checkout) {
        checkouts++;
        holders.put(checkout.holder(), new Holder(checkout.connections(), 0, 0));
        if (lease.isPresent() && !acquiring) {
            grantWaiting(lease.get());
        } else {
            acquire(Duration.ZERO);
            coming.ifPresent(next -> tellComing(next, checkout.holder()));
        }
    }

    private void onCount(Count count) {
        Holder holder = holders.get(count.holder());
        if (holder != null) {
            holders.put(count.holder(), new Holder(count.connections(), count.waiting(), holder.generation()));
            renewIfChanged();
        }
    }

    private void onFrozen(LeaseEvent.Frozen next) {
        if (lease.isEmpty() || lease.get().generation() != next.generation() || next.freeze() <= lastFreeze) {
            return;
        }
        lastFreeze = next.freeze();
        frozen = Optional.of(next);
        draining.clear();
        holders.keySet().forEach(holder -> holder.frozen(next));
    }

    private void onResumed(LeaseEvent.Resumed resumed) {
        lastFreeze = Math.max(lastFreeze, resumed.freeze());
        if (frozen.filter(current -> current.freeze() <= resumed.freeze()).isPresent()) {
            frozen = Optional.empty();
            holders.keySet().forEach(holder -> holder.resumed(resumed));
        }
    }

    /** Passed on when all have said how it is with them. */
    private void onDraining(Draining part) {
        if (!holders.containsKey(part.holder())
                || frozen.filter(current -> current.freeze() == part.freeze()).isEmpty()) {
            return;
        }
        draining.put(part.holder(), part);
        tellDraining();
    }

    private void tellDraining() {
        frozen.ifPresent(current -> {
            if (draining.keySet().containsAll(holders.keySet())) {
                tell(new LeaseCommand.Draining(
                        settings.gateway(),
                        current.generation(),
                        current.freeze(),
                        draining.values().stream().mapToInt(Draining::running).sum(),
                        draining.values().stream().mapToInt(Draining::pinned).sum()));
            }
        });
    }

    private void onReturn(Return returned) {
        if (holders.remove(returned.holder()) == null) {
            return;
        }
        if (draining.remove(returned.holder()) != null) {
            tellDraining();
        }
        if (holders.isEmpty()) {
            release();
            emptied.accept(checkouts);
        } else {
            renewIfChanged();
        }
    }

    private void onConnectFailed(ConnectFailed failed) {
        Holder holder = holders.get(failed.holder());
        if (holder == null) {
            return;
        }
        holders.put(failed.holder(), new Holder(holder.connections(), 0, 0));
        Lease current = lease.orElse(null);
        if (current != null && current.generation() > failed.generation() && !acquiring) {
            grantWaiting(current);
        } else {
            acquire(settings.reconnectDelay());
        }
    }

    /** Said again with every Acquire; only the first time counts. */
    private void onComing(LeaseEvent.Coming next) {
        int known = Math.max(
                Math.max(revokedGeneration, lease.map(Lease::generation).orElse(0)),
                coming.map(LeaseEvent.Coming::generation).orElse(0));
        if (!acquiring || next.generation() <= known) {
            return;
        }
        coming = Optional.of(next);
        toldComing = 0;
        waiting().forEach(holder -> tellComing(next, holder));
    }

    private void tellComing(LeaseEvent.Coming next, LeaseHolder holder) {
        if (toldComing < MAX_AHEAD) {
            toldComing++;
            holder.coming(next);
        }
    }

    private void onGranted(LeaseEvent.Granted granted) {
        int current = lease.map(Lease::generation).orElse(0);
        if (granted.generation() <= revokedGeneration || granted.generation() < current) {
            LOG.debug("database {}: late grant of generation {}", databaseId, granted.generation());
            return;
        }
        if (holders.isEmpty()) {
            tell(new LeaseCommand.Release(settings.gateway(), granted.generation()));
            return;
        }
        if (current != 0 && granted.generation() > current) {
            onRevoked(current, LeaseEvent.Reason.WRITER_LOST);
        }
        if (lease.isEmpty()) {
            metrics.granted();
            LOG.info(
                    "database {}: lease on generation {} at {}:{}",
                    databaseId,
                    granted.generation(),
                    granted.writer().host(),
                    granted.writer().port());
        }
        acquired();
        Lease next = new Lease(granted.generation(), granted.writer(), granted.serverConnections());
        boolean shareChanged = lease.filter(same -> same.serverConnections() != next.serverConnections())
                .isPresent();
        lease = Optional.of(next);
        countTold = -1;
        timers.startTimerWithFixedDelay(
                RenewDue.INSTANCE, RenewDue.INSTANCE, granted.ttl().dividedBy(RENEWALS_PER_TTL));
        if (shareChanged) {
            holders.forEach((holder, state) -> {
                if (!state.waits()) {
                    holder.granted(next);
                }
            });
        }
        grantWaiting(next);
    }

    private void onRevoked(int generation, LeaseEvent.Reason reason) {
        revokedGeneration = Math.max(revokedGeneration, generation);
        boolean ours = lease.isPresent() && lease.get().generation() <= generation;
        if (ours) {
            dropLease();
            LOG.info("database {}: lease on generation {} revoked, {}", databaseId, generation, reason);
        }
        holders.forEach((holder, state) -> {
            if (!state.waits() && state.generation() <= generation) {
                holder.revoked(state.generation(), reason);
            }
        });
        if (coming.filter(next -> next.generation() <= generation).isPresent()) {
            coming = Optional.empty();
            waiting().forEach(holder -> holder.revoked(generation, reason));
        }
        if (ours && holders.values().stream().anyMatch(Holder::waits)) {
            acquire(Duration.ZERO);
        }
    }

    private void onRefused(LeaseEvent.Refused refused) {
        acquired();
        LOG.info("database {}: refused, {} {}", databaseId, refused.sqlState(), refused.message());
        waiting().forEach(holder -> holder.refused(refused));
    }

    private void onAcquireAgain() {
        if (holders.values().stream().anyMatch(Holder::waits)) {
            sendAcquire();
        } else {
            acquired();
        }
    }

    private void acquire(Duration delay) {
        if (acquiring) {
            return;
        }
        acquiring = true;
        metrics.acquiring();
        if (delay.isZero()) {
            sendAcquire();
        } else {
            timers.startSingleTimer(AcquireAgain.INSTANCE, AcquireAgain.INSTANCE, delay);
        }
    }

    /** There is an answer, or nobody wants one any more. */
    private void acquired() {
        acquiring = false;
        coming = Optional.empty();
        timers.cancel(AcquireAgain.INSTANCE);
    }

    private void sendAcquire() {
        tell(new LeaseCommand.Acquire(settings.gateway(), events));
        timers.startSingleTimer(AcquireAgain.INSTANCE, AcquireAgain.INSTANCE, settings.acquireRetry());
    }

    private void grantWaiting(Lease current) {
        for (LeaseHolder holder : waiting()) {
            holders.computeIfPresent(
                    holder, (same, state) -> new Holder(state.connections(), state.queue(), current.generation()));
            holder.granted(current);
            frozen.ifPresent(holder::frozen);
        }
        renewIfChanged();
    }

    private List<LeaseHolder> waiting() {
        return holders.entrySet().stream()
                .filter(entry -> entry.getValue().waits())
                .map(Map.Entry::getKey)
                .toList();
    }

    /** At once when the database starts or ceases to be in use, or to have a queue; other changes wait for the next Renew. */
    private void renewIfChanged() {
        if (countTold < 0 || (counted() == 0) != (countTold == 0) || (queue() == 0) != (queueTold == 0)) {
            renew();
        }
    }

    private void renew() {
        lease.ifPresent(current -> {
            countTold = counted();
            queueTold = queue();
            tell(new LeaseCommand.Renew(settings.gateway(), current.generation(), countTold, queueTold, events));
        });
    }

    private int queue() {
        return holders.values().stream().mapToInt(Holder::queue).sum();
    }

    private int counted() {
        return holders.values().stream().mapToInt(Holder::connections).sum();
    }

    private void release() {
        if (lease.isPresent() && !acquiring) {
            tell(new LeaseCommand.Release(settings.gateway(), lease.get().generation()));
        } else if (lease.isPresent() || acquiring) {
            tell(new LeaseCommand.Release(settings.gateway(), LeaseCommand.Release.ANY_GENERATION));
        }
        acquired();
        if (lease.isPresent()) {
            dropLease();
        }
    }

    private void dropLease() {
        frozen = Optional.empty();
        lastFreeze = 0;
        lease = Optional.empty();
        timers.cancel(RenewDue.INSTANCE);
        metrics.given();
    }

    private void tell(LeaseCommand command) {
        leases.tell(databaseId, command);
    }

    private Behavior<Command> onPostStop() {
        holders.forEach((holder, state) -> holder.revoked(Integer.MAX_VALUE, LeaseEvent.Reason.WRITER_LOST));
        if (!holders.isEmpty()) {
            release();
        }
        return Behaviors.same();
    }
}
