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
 * writer     -- WriterGone ---> no writer; every lease revoked
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
     * @param expires     when it is taken to be given back
     */
    private record Held(ActorRef<LeaseEvent> replyTo, Optional<Integer> connections, Instant expires) {}

    /** @param expires when the wait is forgotten */
    private record Waiter(ActorRef<LeaseEvent> replyTo, Instant expires) {}

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
    /** The database knows that somebody waits. */
    private boolean demanded;

    private Duration idleTimeout;
    /** Since when no counted connection is there. */
    private Instant idleSince;

    private Instant lastUsed;

    private ConnectionPools(
            ActorRef<PoolsEvent> database, PoolsSettings settings, Clock clock, TimerScheduler<PoolsCommand> timers) {
        this.database = database;
        this.settings = settings;
        this.clock = clock;
        this.timers = timers;
        idleTimeout = settings.idleTimeout();
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
            case PoolsCommand.WriterGone gone -> onWriterGone(gone.reason());
            case PoolsCommand.Refuse refuse -> onRefuse(refuse.answer());
            case PoolsCommand.Admit admit -> onAdmit();
            case PoolsCommand.SetIdleTimeout set -> onSetIdleTimeout(set.idleTimeout());
            case PoolsCommand.GetActivity get -> get.replyTo().tell(activity());
            case PoolsCommand.Private tick -> onTick();
        }
        return Behaviors.same();
    }

    private void onGateway(LeaseCommand command) {
        switch (command) {
            case LeaseCommand.Acquire acquire -> onAcquire(acquire);
            case LeaseCommand.Renew renew -> onRenew(renew);
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
        } else if (writer.isPresent()) {
            grant(gateway, acquire.replyTo(), writer.get());
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
        leases.put(gateway, new Held(replyTo, before == null ? Optional.empty() : before.connections(), expiry()));
        replyTo.tell(granted(at));
        if (before == null) {
            tellShare(gateway);
        }
    }

    private LeaseEvent.Granted granted(PoolsCommand.WriterReady at) {
        int share = Math.max(1, settings.serverConnections() / Math.max(1, leases.size()));
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
                renew.gateway(), new Held(renew.replyTo(), Optional.of(Math.max(0, renew.connections())), expiry())));
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
        waiting.forEach(
                (gateway, waiter) -> leases.put(gateway, new Held(waiter.replyTo(), Optional.empty(), expiry())));
        waiting.clear();
        tellShare("");
    }

    private void onWriterGone(LeaseEvent.Reason reason) {
        demanded = false;
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
        }
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
