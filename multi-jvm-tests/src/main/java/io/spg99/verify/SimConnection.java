package io.spg99.verify;

import io.spg99.storage.replication.ReplicationConnection;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.replication.ReplicationMessage;
import io.spg99.storage.replication.ReplicationTarget;
import io.spg99.storage.wal.Lsn;
import java.util.ArrayDeque;
import java.util.Deque;
import org.jspecify.annotations.Nullable;

/** Both ends of one replication connection, and the two ways between them. */
final class SimConnection implements ReplicationConnection {

    /** What a server does. */
    interface Server {

        Identity identify(SimConnection connection) throws ReplicationException;

        void claim(SimConnection connection, String name) throws ReplicationException;

        void start(SimConnection connection, Lsn from, int generation) throws ReplicationException;

        void status(SimConnection connection, Lsn flushed);

        /** The connection is gone, as far as the server can know. */
        void closed(SimConnection connection);
    }

    private interface Call<T> {
        T run() throws ReplicationException;
    }

    /** One way: keeps the order, holds everything back while it is blocked. */
    private final class Way {
        private final Instance from;
        private final Instance to;
        private final Deque<Runnable> queue = new ArrayDeque<>();
        private boolean moving;

        Way(Instance from, Instance to) {
            this.from = from;
            this.to = to;
        }

        void send(Runnable delivery) {
            queue.add(delivery);
            if (!moving) {
                moving = true;
                scheduler.at(null, network.latency(), this::move);
            }
        }

        private void move() {
            if (network.isBlocked(from.machine(), to.machine())) {
                scheduler.at(null, scheduler.between(50, 300) * Scheduler.MILLI, this::move);
                return;
            }
            Runnable delivery = queue.remove();
            if (to.isAlive()) {
                scheduler.as(to, delivery);
            } else if (!network.isDown(to.machine())) {
                // A reset.
                if (to.equals(client)) {
                    clientGone();
                } else {
                    serverGone();
                }
            }
            moving = !queue.isEmpty();
            if (moving) {
                scheduler.at(null, scheduler.jitter(), this::move);
            }
        }
    }

    /** Stands in the inbox for the end of the stream. */
    private static final Object END = new Object();

    private final Scheduler scheduler;
    private final Network network;
    private final Instance client;
    private final Network.Endpoint endpoint;
    private final ReplicationTarget target;
    private final Way toServer;
    private final Way toClient;
    private final Deque<Object> inbox = new ArrayDeque<>();
    private boolean clientOpen = true;
    private boolean serverOpen = true;

    /** The client has it in hand. */
    private boolean opened;

    private @Nullable Fiber waiting;

    SimConnection(
            Scheduler scheduler,
            Network network,
            Instance client,
            Network.Endpoint endpoint,
            ReplicationTarget target) {
        this.scheduler = scheduler;
        this.network = network;
        this.client = client;
        this.endpoint = endpoint;
        this.target = target;
        this.toServer = new Way(client, endpoint.instance());
        this.toClient = new Way(endpoint.instance(), client);
    }

    Instance client() {
        return client;
    }

    Instance server() {
        return endpoint.instance();
    }

    String applicationName() {
        return target.applicationName();
    }

    /** The client's certificate is a Safekeeper's. */
    boolean isPeer() {
        return target.identity().equals(SafekeeperSim.IDENTITY);
    }

    boolean isOver() {
        return !clientOpen && !serverOpen;
    }

    void opened() {
        opened = true;
    }

    /** The client has it in hand and has not let go of it. */
    boolean isInUse() {
        return opened && clientOpen;
    }

    boolean isServerOpen() {
        return serverOpen;
    }

    // The client's end

    private <T> T call(Call<T> call) throws ReplicationException {
        Answer<T> answer = new Answer<>();
        toServer.send(() -> {
            if (serverOpen) {
                try {
                    answer.value = call.run();
                } catch (ReplicationException e) {
                    answer.trouble = e;
                }
                toClient.send(() -> {
                    answer.there = true;
                    wake();
                });
            }
        });
        await(() -> answer.there);
        ReplicationException trouble = answer.trouble;
        if (trouble != null) {
            throw trouble;
        }
        T value = answer.value;
        if (value == null) {
            throw new ReplicationException("connection lost");
        }
        return value;
    }

    private static final class Answer<T> {
        private boolean there;
        private @Nullable T value;
        private @Nullable ReplicationException trouble;
    }

    private interface Condition {
        boolean holds();
    }

    private void await(Condition condition) throws ReplicationException {
        Fiber fiber = scheduler.ownFiber();
        waiting = fiber;
        boolean there = fiber.await(
                () -> condition.holds() || !clientOpen, target.silence().toNanos() / 1000);
        if (!clientOpen) {
            throw new ReplicationException("connection lost");
        }
        if (!there) {
            throw new ReplicationException("nothing heard for " + target.silence());
        }
    }

    private void wake() {
        Fiber fiber = waiting;
        if (fiber != null) {
            fiber.wake();
        }
    }

    @Override
    public Identity identify() throws ReplicationException {
        return call(() -> endpoint.server().identify(this));
    }

    @Override
    public void claim(String name) throws ReplicationException {
        call(() -> {
            endpoint.server().claim(this, name);
            return true;
        });
    }

    /** What slots are for, a writer that removes WAL, is not simulated: it keeps all. */
    @Override
    public void ensureSlot(String name) {}

    @Override
    public @Nullable Lsn slotPosition(String name) {
        return null;
    }

    @Override
    public void startWithSlot(String name, Lsn from, int generation) throws ReplicationException {
        throw new ReplicationException("no slots here");
    }

    @Override
    public void confirm(Lsn flushed) throws ReplicationException {
        throw new ReplicationException("no slots here");
    }

    @Override
    public void start(Lsn from, int generation) throws ReplicationException {
        call(() -> {
            endpoint.server().start(this, from, generation);
            return true;
        });
    }

    @Override
    public @Nullable ReplicationMessage receive() throws ReplicationException {
        await(() -> !inbox.isEmpty());
        return take();
    }

    @Override
    public @Nullable ReplicationMessage poll() throws ReplicationException {
        // Between taking and syncing: others may come in between.
        if (scheduler.chance(0.1)) {
            scheduler.ownFiber().pause(scheduler.between(1, 2000));
        }
        if (!clientOpen) {
            throw new ReplicationException("connection lost");
        }
        return inbox.peek() instanceof ReplicationMessage ? take() : null;
    }

    private @Nullable ReplicationMessage take() {
        Object next = inbox.remove();
        // Between receiving and using it; now and then the machine is busy with something else for long.
        if (scheduler.chance(0.05)) {
            scheduler.ownFiber().pause(scheduler.between(1, 2000));
        } else if (scheduler.chance(0.005)) {
            scheduler.ownFiber().pause(scheduler.between(1, 3000) * Scheduler.MILLI);
        }
        return next instanceof ReplicationMessage message ? message : null;
    }

    @Override
    public void status(Lsn flushed) throws ReplicationException {
        // Between syncing and saying so.
        if (scheduler.chance(0.1)) {
            scheduler.ownFiber().pause(scheduler.between(1, 2000));
        }
        if (!clientOpen) {
            throw new ReplicationException("connection lost");
        }
        network.statusLeaves(this, flushed);
        toServer.send(() -> {
            if (serverOpen) {
                endpoint.server().status(this, flushed);
            }
        });
    }

    @Override
    public void cut() {
        if (clientOpen) {
            clientOpen = false;
            inbox.clear();
            toServer.send(this::clientGone);
            wake();
        }
    }

    @Override
    public void close() {
        cut();
    }

    void clientDied(boolean powerCut) {
        if (clientOpen) {
            clientOpen = false;
            if (!powerCut) {
                toServer.send(this::clientGone);
            }
        }
    }

    private void clientGone() {
        if (serverOpen) {
            serverOpen = false;
            endpoint.server().closed(this);
        }
    }

    // The server's end

    void send(ReplicationMessage message) {
        if (serverOpen) {
            toClient.send(() -> arrived(message));
        }
    }

    /** The end of the stream. */
    void sendEnd() {
        if (serverOpen) {
            toClient.send(() -> arrived(END));
        }
    }

    private void arrived(Object message) {
        if (clientOpen) {
            inbox.add(message);
            wake();
        } else {
            clientGone();
        }
    }

    /** The server ends the connection. */
    void closeServer() {
        if (serverOpen) {
            serverOpen = false;
            endpoint.server().closed(this);
            toClient.send(this::serverGone);
        }
    }

    void serverDied(boolean powerCut) {
        if (serverOpen) {
            serverOpen = false;
            if (!powerCut) {
                toClient.send(this::serverGone);
            }
        }
    }

    private void serverGone() {
        serverOpen = false;
        if (clientOpen) {
            clientOpen = false;
            wake();
        }
    }

    /** Something between the two gives up. */
    void reset() {
        clientGone();
        serverGone();
    }

    @Override
    public String toString() {
        return client + "->" + endpoint.instance();
    }
}
