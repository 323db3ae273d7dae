package io.spg99.gateway.pool;

import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.gateway.lease.LeaseEvent;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;

/**
 * Which Gateways use a database. Child of the Database actor, which restarts it with itself: nothing here is persistent,
 * Gateways repeat what they want.
 *
 * <pre>
 * no writer  -- Acquire ------> waits; Demand to the database, once
 * no writer  -- WriterComing -> everybody waiting, and who Acquires from now on, is told; all wait on
 * no writer  -- WriterReady --> writer; everybody waiting is granted
 * writer     -- Acquire ------> granted
 * writer     -- Renew --------> lease kept (or made again: an expiry or restart here is not the Gateway's fault)
 * writer     -- Freeze -------> frozen: every lease is told; Acquires of other Gateways wait
 * frozen     -- Draining -----> frozen; Drained to who froze, once nothing runs and nothing is pinned
 * frozen     -- Resume, limit > writer; every lease is told
 * writer     -- WriterGone ---> no writer, not frozen; every lease revoked
 * writer     -- idle timeout -> Idle to the database, again after every further timeout
 * refusing   -- Acquire ------> Refused
 * </pre>
 */
public final class ConnectionPools {

    private enum Tick implements PoolsCommand.Private {
        INSTANCE
    }

    /**
     * @param connections counted client connections; empty until the Gateway's first Renew
     * @param queue       clients that waited for a server connection at the last Renew
     * @param expires     when it is taken to be given back
     */
    private record Held(ActorRef<LeaseEvent> replyTo, Optional<Integer> connections, int queue, Instant expires) {}

    /** @param expires when the wait is forgotten */
    private record Waiter(ActorRef<LeaseEvent> replyTo, Instant expires) {}

    /**
     * @param number  of this freeze, larger than any before
     * @param until   when it ends by itself
     * @param drained whether that has been told
     */
    private record Freezing(int generation, int number, Instant until, ActorRef<FreezeEvent> replyTo, boolean drained) {
        Freezing(int generation, int number, Instant until, ActorRef<FreezeEvent> replyTo) {
            this(generation, number, until, replyTo, false);
        }

        Freezing whenDrained() {
            return new Freezing(generation, number, until, replyTo, true);
        }
    }

    /** Expiries and the idle timeout are looked at this often at most. */
    private static final Duration MIN_TICK = Duration.ofMillis(20);

    private static final Duration MAX_TICK = Duration.ofSeconds(1);

    private static final LeaseEvent.Refused TOO_MANY =
            new LeaseEvent.Refused("53300", "too many gateways use this database", "");

    private final ActorRef<PoolsEvent> database;
    private final PoolsSettings settings;
    private final Clock clock;
    private final TimerScheduler<PoolsCommand> timers;

    private final Map<String, Held> leases = new HashMap<>();
    private final Map<String, Waiter> waiting = new HashMap<>();
    private Optional<PoolsCommand.WriterReady> writer = Optional.empty();
    /** What is said to those who wait; empty when there is a writer, and when none is near. */
    private Optional<LeaseEvent.Coming> coming = Optional.empty();

    private Optional<LeaseEvent.Refused> refusal = Optional.empty();
    /** Highest generation known to be gone; zero at first. */
    private int goneGeneration;
    /** Empty unless frozen. */
    private Optional<Freezing> freezing = Optional.empty();

    private int freezes;
    /** What each Gateway last said of the freeze. */
    private final Map<String, LeaseCommand.Draining> draining = new HashMap<>();
    /** The database knows that somebody waits. */
    private boolean demanded;

    private Duration idleTimeout;
    /** Of all Gateways together. */
    private int serverConnections;
    /** Since when no counted connection is there. */
    private Instant idleSince;

    private Instant lastUsed;
    /** As last told to the database. */
    private int queueTold;

    private ConnectionPools(
            ActorRef<PoolsEvent> database, PoolsSettings settings, Clock clock, TimerScheduler<PoolsCommand> timers) {
        this.database = database;
        this.settings = settings;
        this.clock = clock;
        this.timers = timers;
        idleTimeout = settings.idleTimeout();
        serverConnections = settings.serverConnections();
        idleSince = clock.instant();
        lastUsed = clock.instant();
    }

    /** @param database is told of demand and idleness */
    public static Behavior<PoolsCommand> create(ActorRef<PoolsEvent> database, PoolsSettings settings, Clock clock) {
        return Behaviors.withTimers(timers -> {
            ConnectionPools pools = new ConnectionPools(database, settings, clock, timers);
            pools.startTick();
            return Behaviors.receive(PoolsCommand.class)
                    .onMessage(PoolsCommand.class, pools::onCommand)
                    .build();
        });
    }

    private Behavior<PoolsCommand> onCommand(PoolsCommand command) {
        switch (command) {
            case PoolsCommand.FromGateway from -> onGateway(from.command());
            case PoolsCommand.WriterComing next -> onWriterComing(next);
            case PoolsCommand.WriterReady ready -> onWriterReady(ready);
            case PoolsCommand.Freeze freeze -> onFreeze(freeze);
            case PoolsCommand.Resume resume -> onResume();
            case PoolsCommand.WriterGone gone -> onWriterGone(gone.reason());
            case PoolsCommand.Refuse refuse -> onRefuse(refuse.answer());
            case PoolsCommand.Admit admit -> onAdmit();
            case PoolsCommand.SetIdleTimeout set -> onSetIdleTimeout(set.idleTimeout());
            case PoolsCommand.SetServerConnections set -> onSetServerConnections(set.serverConnections());
            case PoolsCommand.GetActivity get -> get.replyTo().tell(activity());
            case PoolsCommand.Private tick -> onTick();
        }
        return Behaviors.same();
    }

    private void onGateway(LeaseCommand command) {
        switch (command) {
            case LeaseCommand.Acquire acquire -> onAcquire(acquire);
            case LeaseCommand.Renew renew -> onRenew(renew);
            case LeaseCommand.Draining draining -> onDraining(draining);
            case LeaseCommand.Release release -> onRelease(release);
        }
    }

    private void onAcquire(LeaseCommand.Acquire acquire) {
        lastUsed = clock.instant();
        String gateway = acquire.gateway();
        if (refusal.isPresent()) {
            acquire.replyTo().tell(refusal.get());
        } else if (!leases.containsKey(gateway)
                && !waiting.containsKey(gateway)
                && leases.size() + waiting.size() >= settings.maxGateways()) {
            acquire.replyTo().tell(TOO_MANY);
        } else if (writer.isPresent() && (freezing.isEmpty() || leases.containsKey(gateway))) {
            grant(gateway, acquire.replyTo(), writer.get());
        } else if (writer.isPresent()) {
            // Nothing may begin between a grant and the word that the database is frozen.
            waiting.put(gateway, new Waiter(acquire.replyTo(), expiry()));
        } else {
            waiting.put(gateway, new Waiter(acquire.replyTo(), expiry()));
            if (!demanded) {
                demanded = true;
                database.tell(PoolsEvent.Demand.INSTANCE);
            }
            coming.ifPresent(acquire.replyTo()::tell);
        }
    }

    private void grant(String gateway, ActorRef<LeaseEvent> replyTo, PoolsCommand.WriterReady at) {
        Held before = leases.get(gateway);
        leases.put(
                gateway,
                new Held(
                        replyTo,
                        before == null ? Optional.empty() : before.connections(),
                        before == null ? 0 : before.queue(),
                        expiry()));
        replyTo.tell(granted(at));
        freezing.ifPresent(current -> replyTo.tell(frozen(current)));
        if (before == null) {
            tellShare(gateway);
        }
    }

    private LeaseEvent.Granted granted(PoolsCommand.WriterReady at) {
        int share = Math.max(1, serverConnections / Math.max(1, leases.size()));
        return new LeaseEvent.Granted(at.generation(), at.writer(), settings.leaseTtl(), share);
    }

    /** The number of Gateways has changed, and so has the share of each. */
    private void tellShare(String exceptGateway) {
        writer.ifPresent(at -> leases.forEach((gateway, held) -> {
            if (!gateway.equals(exceptGateway)) {
                held.replyTo().tell(granted(at));
            }
        }));
    }

    private void onRenew(LeaseCommand.Renew renew) {
        int current = writer.map(PoolsCommand.WriterReady::generation).orElse(0);
        if (renew.generation() != current) {
            if (renew.generation() <= Math.max(goneGeneration, current)) {
                renew.replyTo().tell(new LeaseEvent.Revoked(renew.generation(), LeaseEvent.Reason.WRITER_LOST));
            }
            // Otherwise we are younger than the lease and have not been told of the writer yet: the next Renew will
            // tell.
            return;
        }
        if (!leases.containsKey(renew.gateway()) && leases.size() + waiting.size() >= settings.maxGateways()) {
            return;
        }
        changeLeases(() -> leases.put(
                renew.gateway(),
                new Held(
                        renew.replyTo(),
                        Optional.of(Math.max(0, renew.connections())),
                        Math.max(0, renew.waiting()),
                        expiry())));
    }

    private void onFreeze(PoolsCommand.Freeze freeze) {
        if (writer.isEmpty()) {
            freeze.replyTo().tell(new FreezeEvent.Thawed(0, 0, 0));
            return;
        }
        thaw();
        freezes++;
        Freezing next = new Freezing(
                writer.get().generation(), freezes, clock.instant().plus(freeze.limit()), freeze.replyTo());
        freezing = Optional.of(next);
        leases.values().forEach(held -> held.replyTo().tell(frozen(next)));
        lookIfDrained();
    }

    private LeaseEvent.Frozen frozen(Freezing current) {
        Duration left = Duration.between(clock.instant(), current.until());
        return new LeaseEvent.Frozen(current.generation(), current.number(), left.isNegative() ? Duration.ZERO : left);
    }

    private void thaw() {
        freezing.ifPresent(current -> leases.values()
                .forEach(held -> held.replyTo().tell(new LeaseEvent.Resumed(current.generation(), current.number()))));
        freezing = Optional.empty();
        draining.clear();
        grantWaiting();
    }

    private void onDraining(LeaseCommand.Draining part) {
        if (freezing.filter(current -> current.number() == part.freeze()).isPresent()
                && leases.containsKey(part.gateway())) {
            draining.put(part.gateway(), part);
            lookIfDrained();
        }
    }

    private void lookIfDrained() {
        freezing.filter(current -> !current.drained()).ifPresent(current -> {
            boolean drained = leases.keySet().stream()
                    .allMatch(gateway -> draining.containsKey(gateway)
                            && draining.get(gateway).running() == 0
                            && draining.get(gateway).pinned() == 0);
            if (drained) {
                freezing = Optional.of(current.whenDrained());
                current.replyTo().tell(new FreezeEvent.Drained(current.generation()));
            }
        });
    }

    private void thawWhenDue(Instant now) {
        freezing.filter(current -> !current.until().isAfter(now)).ifPresent(this::thawAndTell);
    }

    private void onResume() {
        freezing.filter(current -> !current.drained()).ifPresentOrElse(this::thawAndTell, this::thaw);
    }

    private void thawAndTell(Freezing current) {
        int running = draining.values().stream()
                .mapToInt(LeaseCommand.Draining::running)
                .sum();
        int pinned = draining.values().stream()
                .mapToInt(LeaseCommand.Draining::pinned)
                .sum();
        thaw();
        current.replyTo().tell(new FreezeEvent.Thawed(current.generation(), running, pinned));
    }

    private void onSetServerConnections(int limit) {
        if (limit != serverConnections) {
            serverConnections = limit;
            tellShare("");
        }
    }

    private void onRelease(LeaseCommand.Release release) {
        boolean all = release.generation() == LeaseCommand.Release.ANY_GENERATION;
        if (all) {
            waiting.remove(release.gateway());
            demanded = demanded && !waiting.isEmpty();
        }
        if (all || writer.map(PoolsCommand.WriterReady::generation).orElse(0) == release.generation()) {
            changeLeases(() -> leases.remove(release.gateway()));
            tellShare("");
            lookIfDrained();
        }
    }

    private void onWriterComing(PoolsCommand.WriterComing next) {
        LeaseEvent.Coming said = new LeaseEvent.Coming(next.generation(), next.writer());
        coming = Optional.of(said);
        waiting.values().forEach(waiter -> waiter.replyTo().tell(said));
    }

    private void onWriterReady(PoolsCommand.WriterReady ready) {
        if (writer.isPresent() && writer.get().generation() != ready.generation()) {
            onWriterGone(LeaseEvent.Reason.WRITER_LOST);
        }
        writer = Optional.of(ready);
        coming = Optional.empty();
        refusal = Optional.empty();
        demanded = false;
        idleSince = clock.instant();
        grantWaiting();
    }

    private void grantWaiting() {
        if (waiting.isEmpty() || writer.isEmpty()) {
            return;
        }
        waiting.forEach(
                (gateway, waiter) -> leases.put(gateway, new Held(waiter.replyTo(), Optional.empty(), 0, expiry())));
        waiting.clear();
        tellShare("");
    }

    private void onWriterGone(LeaseEvent.Reason reason) {
        demanded = false;
        freezing = Optional.empty();
        draining.clear();
        writer.ifPresent(gone -> {
            goneGeneration = Math.max(goneGeneration, gone.generation());
            LeaseEvent revoked = new LeaseEvent.Revoked(gone.generation(), reason);
            leases.values().forEach(held -> held.replyTo().tell(revoked));
        });
        changeLeases(leases::clear);
        writer = Optional.empty();
        coming = Optional.empty();
    }

    private void onRefuse(LeaseEvent.Refused answer) {
        refusal = Optional.of(answer);
        coming = Optional.empty();
        demanded = false;
        waiting.values().forEach(waiter -> waiter.replyTo().tell(answer));
        waiting.clear();
    }

    private void onAdmit() {
        refusal = Optional.empty();
    }

    private void onSetIdleTimeout(Duration timeout) {
        idleTimeout = timeout;
        startTick();
    }

    private void onTick() {
        Instant now = clock.instant();
        waiting.values().removeIf(waiter -> !waiter.expires().isAfter(now));
        demanded = demanded && !waiting.isEmpty();
        int before = leases.size();
        changeLeases(() -> leases.values().removeIf(held -> !held.expires().isAfter(now)));
        if (leases.size() != before) {
            tellShare("");
            lookIfDrained();
        }
        thawWhenDue(now);
        boolean unconfirmed =
                leases.values().stream().anyMatch(held -> held.connections().isEmpty());
        if (writer.isPresent()
                && !idleTimeout.isZero()
                && connections() == 0
                && !unconfirmed
                && !idleSince.plus(idleTimeout).isAfter(now)) {
            idleSince = now;
            database.tell(new PoolsEvent.Idle(writer.get().generation()));
        }
    }

    /** Every change of leases goes through here: it may begin or end the time without connections. */
    private void changeLeases(Runnable change) {
        boolean usedBefore = connections() > 0;
        change.run();
        boolean used = connections() > 0;
        if (used || usedBefore) {
            lastUsed = clock.instant();
        }
        if (usedBefore && !used) {
            idleSince = lastUsed;
        }
        int queue = leases.values().stream().mapToInt(Held::queue).sum();
        if (queue != queueTold) {
            queueTold = queue;
            database.tell(new PoolsEvent.Queue(queue));
        }
    }

    private int connections() {
        return leases.values().stream()
                .mapToInt(held -> held.connections().orElse(0))
                .sum();
    }

    private PoolsEvent.Activity activity() {
        if (connections() > 0) {
            lastUsed = clock.instant();
        }
        return new PoolsEvent.Activity(connections(), leases.size(), waiting.size(), lastUsed);
    }

    private Instant expiry() {
        return clock.instant().plus(settings.leaseTtl());
    }

    /** Often enough for the shorter of the two times that are watched. */
    private void startTick() {
        Duration shortest = idleTimeout.isZero() || idleTimeout.compareTo(settings.leaseTtl()) > 0
                ? settings.leaseTtl()
                : idleTimeout;
        Duration tick = shortest.dividedBy(10);
        tick = tick.compareTo(MIN_TICK) < 0 ? MIN_TICK : tick.compareTo(MAX_TICK) > 0 ? MAX_TICK : tick;
        timers.startTimerWithFixedDelay(Tick.INSTANCE, Tick.INSTANCE, tick);
    }
}
