package io.spg99.gateway.pool;

import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.lease.WriterLocation;
import java.time.Duration;
import org.apache.pekko.actor.typed.ActorRef;

/** What a Database actor tells its {@link ConnectionPools} child. */
public sealed interface PoolsCommand {

    /** A Gateway's word, passed on. */
    record FromGateway(LeaseCommand command) implements PoolsCommand {}

    /**
     * A writer is coming up: those who wait are told, and those who begin to, until {@link WriterReady}, {@link WriterGone}
     * or {@link Refuse}. Nobody is granted anything.
     */
    record WriterComing(int generation, WriterLocation writer) implements PoolsCommand {}

    /** A writer is ready: waiting and new Acquires are granted. */
    record WriterReady(int generation, WriterLocation writer) implements PoolsCommand {}

    /**
     * Transactions that run may finish, new ones and logins wait. Ended by {@link Resume}, by the limit, or with the writer.
     * Without a writer it is thawed at once.
     *
     * @param limit also of the safe window: who has not resumed or moved by then is overtaken
     */
    record Freeze(Duration limit, ActorRef<FreezeEvent> replyTo) implements PoolsCommand {}

    /** Goes on at once, however far the freeze has come; who asked for it is told {@link FreezeEvent.Thawed} if it was not drained. */
    enum Resume implements PoolsCommand {
        INSTANCE
    }

    /** The writer, or the one that was coming up, is gone: all its leases are revoked; new Acquires wait (or are refused after {@link Refuse}). */
    record WriterGone(LeaseEvent.Reason reason) implements PoolsCommand {}

    /** From now on every Acquire, waiting or new, is answered with this. Undone by {@link WriterReady} or {@link Admit}. */
    record Refuse(LeaseEvent.Refused answer) implements PoolsCommand {}

    /** Acquires wait for a writer again. */
    enum Admit implements PoolsCommand {
        INSTANCE
    }

    /** @param idleTimeout empty time after which {@link PoolsEvent.Idle} is sent; zero for never */
    record SetIdleTimeout(Duration idleTimeout) implements PoolsCommand {}

    /** @param serverConnections of all Gateways together, from now on */
    record SetServerConnections(int serverConnections) implements PoolsCommand {}

    record GetActivity(ActorRef<PoolsEvent.Activity> replyTo) implements PoolsCommand {}

    /** The pool actor's own timers. */
    non-sealed interface Private extends PoolsCommand {}
}
