package io.spg99.gateway.server;

import io.spg99.gateway.lease.DatabaseLeases;
import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.lease.WriterLocation;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.apache.pekko.actor.typed.ActorRef;

/** All databases of a test: awake, asleep or refusing, as the test says; remembers what it was told. */
final class FakeDatabases implements DatabaseLeases {

    static final Duration TTL = Duration.ofSeconds(3);

    private final int writerPort;
    private final List<LeaseCommand> told = new ArrayList<>();
    private final List<ActorRef<LeaseEvent>> waiting = new ArrayList<>();
    private Optional<LeaseEvent> answer = Optional.empty();
    private int generation = 2;
    private int serverConnections = 50;

    FakeDatabases(int writerPort) {
        this.writerPort = writerPort;
    }

    private static WriterLocation at(int port) {
        return new WriterLocation("127.0.0.1", port, Optional.empty());
    }

    @Override
    public synchronized void tell(String databaseId, LeaseCommand command) {
        told.add(command);
        if (command instanceof LeaseCommand.Acquire acquire) {
            waiting.add(acquire.replyTo());
            answer.ifPresent(acquire.replyTo()::tell);
        }
    }

    /** Share of the next grants. */
    synchronized void serverConnections(int share) {
        serverConnections = share;
    }

    /** From now on an Acquire is granted; those that wait are. */
    synchronized void awake() {
        answerWith(new LeaseEvent.Granted(generation, at(writerPort), TTL, serverConnections));
    }

    /** A writer comes up: those who wait are told, and those who begin to. They wait on. */
    synchronized void coming() {
        comingAt(writerPort);
    }

    synchronized void comingAt(int port) {
        answerWith(new LeaseEvent.Coming(generation, at(port)));
    }

    /** The attempt has failed: the next that comes is of the next generation. */
    synchronized void attemptFailed() {
        generation++;
    }

    /** Says that the writer is there, which it is not. */
    synchronized void awakeAt(int port) {
        answerWith(new LeaseEvent.Granted(generation, at(port), TTL, serverConnections));
    }

    /** The writer is behind a Unix socket too. */
    synchronized void awakeAt(Path socket) {
        WriterLocation writer = new WriterLocation("127.0.0.1", writerPort, Optional.of(socket.toString()));
        answerWith(new LeaseEvent.Granted(generation, writer, TTL, serverConnections));
    }

    synchronized void refusing(LeaseEvent.Refused refused) {
        answerWith(refused);
    }

    private void answerWith(LeaseEvent event) {
        answer = Optional.of(event);
        waiting.forEach(waiter -> waiter.tell(event));
    }

    /** An Acquire is not answered any more; a later grant is of the next generation. */
    synchronized void asleep() {
        answer = Optional.empty();
        told.clear();
        generation++;
        waiting.clear();
    }

    synchronized void revoke(LeaseEvent.Reason reason) {
        waiting.forEach(waiter -> waiter.tell(new LeaseEvent.Revoked(generation, reason)));
        asleep();
    }

    synchronized <T extends LeaseCommand> List<T> told(Class<T> type) {
        return told.stream().filter(type::isInstance).map(type::cast).toList();
    }
}
