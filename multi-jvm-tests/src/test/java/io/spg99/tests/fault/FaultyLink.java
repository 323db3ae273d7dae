package io.spg99.tests.fault;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;

/**
 * The way by which one Safekeeper reaches writers and other Safekeepers, as bad as a test wants it. A SOCKS 5 proxy
 * (RFC 1928, CONNECT to an IPv4 address without a password): Java's sockets use it for everything when told so.
 */
final class FaultyLink implements AutoCloseable {

    enum Direction {
        TO_SAFEKEEPER,
        FROM_SAFEKEEPER
    }

    /** Of a connection. */
    enum End {
        SAFEKEEPER,
        OTHER
    }

    /** Least time after which Linux sends a packet again of which nothing is heard. */
    static final Duration RETRANSMISSION = Duration.ofMillis(200);

    private static final int LOSS_PERIOD = 3;

    private static final int CHUNK = 64 * 1024;

    /** Chunks under way in one direction of one connection. */
    private static final int MOST_CHUNKS = 1024;

    private final ServerSocketChannel server;
    private final Map<Direction, Lane> lanes = new EnumMap<>(Direction.class);
    private final Set<Connection> connections = ConcurrentHashMap.newKeySet();

    private FaultyLink(ServerSocketChannel server) {
        this.server = server;
        for (Direction direction : Direction.values()) {
            lanes.put(direction, new Lane());
        }
        start("accept", this::accept);
    }

    static FaultyLink open() throws IOException {
        return new FaultyLink(
                ServerSocketChannel.open().bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0)));
    }

    /** One that is reached by a Unix socket, which leads from one network namespace to another. */
    static FaultyLink at(Path socket) throws IOException {
        return new FaultyLink(
                ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of(socket)));
    }

    /** Of one that is reached by TCP. */
    InetSocketAddress address() throws IOException {
        return (InetSocketAddress) server.getLocalAddress();
    }

    /** Of one that is reached by a Unix socket. */
    Path socket() throws IOException {
        return ((UnixDomainSocketAddress) server.getLocalAddress()).getPath();
    }

    /** From now on every byte arrives so much later. */
    void delay(Direction direction, Duration delay) {
        lane(direction).delayNanos = delay.toNanos();
    }

    /**
     * From now on of what is sent two of three parts are lost and sent again, as TCP does it: they, and what follows them,
     * arrive later by {@link #RETRANSMISSION}.
     */
    void lose(Direction direction) {
        lane(direction).loses = true;
    }

    /** Nothing arrives, and nobody is told: as if every packet were lost. What was sent arrives after {@link #heal}. */
    void hold(Direction direction) {
        lane(direction).hold(true);
    }

    /** Connections that are there end for one side; the other is not told, and hears nothing any more. */
    void endFor(End end) {
        connections.forEach(connection -> connection.endFor(end));
    }

    /** No faults; half-open connections end. */
    void heal() {
        for (Lane lane : lanes.values()) {
            lane.delayNanos = 0;
            lane.loses = false;
            lane.hold(false);
        }
        connections.stream().filter(connection -> connection.halfOpen).forEach(Connection::close);
    }

    private Lane lane(Direction direction) {
        return Objects.requireNonNull(lanes.get(direction));
    }

    @Override
    public void close() throws IOException {
        server.close();
        heal();
        connections.forEach(Connection::close);
    }

    private static void start(String name, Runnable work) {
        Thread.ofVirtual().name("link-" + name).start(work);
    }

    private void accept() {
        try {
            while (server.isOpen()) {
                SocketChannel near = server.accept();
                start("connect", () -> connect(near));
            }
        } catch (IOException e) {
            // Closed.
        }
    }

    private void connect(SocketChannel near) {
        try {
            SocketAddress target = Socks.accept(near);
            for (Lane lane : lanes.values()) {
                lane.pass();
            }
            SocketChannel far = SocketChannel.open(target);
            far.setOption(StandardSocketOptions.TCP_NODELAY, true);
            Socks.confirm(near);
            new Connection(near, far).begin();
        } catch (IOException e) {
            closeQuietly(near);
        }
    }

    private static void closeQuietly(SocketChannel channel) {
        try {
            channel.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** What happens to bytes on their way in one direction, whatever the connection. */
    private static final class Lane {

        volatile long delayNanos;
        volatile boolean loses;
        private final AtomicInteger sent = new AtomicInteger();
        private final ReentrantLock lock = new ReentrantLock();
        private final Condition released = lock.newCondition();
        private boolean held;

        /** How much later the next part arrives than it would without faults. */
        long nextDelayNanos() {
            boolean lost = loses && sent.incrementAndGet() % LOSS_PERIOD != 0;
            return delayNanos + (lost ? RETRANSMISSION.toNanos() : 0);
        }

        void hold(boolean hold) {
            lock.lock();
            try {
                held = hold;
                released.signalAll();
            } finally {
                lock.unlock();
            }
        }

        void pass() {
            lock.lock();
            try {
                while (held) {
                    released.awaitUninterruptibly();
                }
            } finally {
                lock.unlock();
            }
        }
    }

    /** @param bytes empty at the end of the stream */
    private record Chunk(ByteBuffer bytes, long readAt) {}

    private final class Connection {

        final SocketChannel near;
        final SocketChannel far;
        volatile boolean halfOpen;

        Connection(SocketChannel near, SocketChannel far) {
            this.near = near;
            this.far = far;
        }

        void begin() {
            connections.add(this);
            pump(far, near, lane(Direction.TO_SAFEKEEPER));
            pump(near, far, lane(Direction.FROM_SAFEKEEPER));
        }

        private void pump(SocketChannel from, SocketChannel to, Lane lane) {
            BlockingQueue<Chunk> under = new ArrayBlockingQueue<>(MOST_CHUNKS);
            start("read", () -> read(from, under));
            start("write", () -> write(under, to, lane));
        }

        private void read(SocketChannel from, BlockingQueue<Chunk> under) {
            try {
                boolean open = true;
                while (open) {
                    ByteBuffer bytes = ByteBuffer.allocate(CHUNK);
                    open = from.read(bytes) >= 0;
                    under.put(new Chunk(bytes.flip(), System.nanoTime()));
                }
            } catch (IOException e) {
                under.offer(new Chunk(ByteBuffer.allocate(0), System.nanoTime()));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        private void write(BlockingQueue<Chunk> under, SocketChannel to, Lane lane) {
            try {
                for (Chunk chunk = under.take(); chunk.bytes().hasRemaining(); chunk = under.take()) {
                    long due = chunk.readAt() + lane.nextDelayNanos();
                    for (long left = due - System.nanoTime(); left > 0; left = due - System.nanoTime()) {
                        LockSupport.parkNanos(left);
                    }
                    lane.pass();
                    while (!halfOpen && chunk.bytes().hasRemaining()) {
                        to.write(chunk.bytes());
                    }
                }
            } catch (IOException e) {
                // The other side is gone: so is the connection.
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            if (!halfOpen) {
                close();
            }
        }

        void endFor(End end) {
            halfOpen = true;
            closeQuietly(end == End.SAFEKEEPER ? near : far);
        }

        void close() {
            connections.remove(this);
            closeQuietly(near);
            closeQuietly(far);
        }
    }

    /** The server's part of RFC 1928, as far as Java's client needs it. */
    private static final class Socks {

        private static final int VERSION = 5;
        private static final byte[] NO_PASSWORD = {VERSION, 0};
        private static final byte[] CONNECTED = {VERSION, 0, 0, 1, 0, 0, 0, 0, 0, 0};

        /** Client: version, count, methods. Server: version, method. Client: version, CONNECT, 0, IPv4, address, port. */
        static SocketAddress accept(SocketChannel client) throws IOException {
            ByteBuffer greeting = read(client, 2);
            require(greeting.get(0) == VERSION, "SOCKS version");
            read(client, greeting.get(1));
            client.write(ByteBuffer.wrap(NO_PASSWORD));
            ByteBuffer request = read(client, 10);
            require(request.get(1) == 1 && request.get(3) == 1, "CONNECT to an IPv4 address");
            byte[] address = new byte[4];
            request.get(4, address);
            return new InetSocketAddress(InetAddress.getByAddress(address), request.getShort(8) & 0xffff);
        }

        static void confirm(SocketChannel client) throws IOException {
            client.write(ByteBuffer.wrap(CONNECTED));
        }

        private static ByteBuffer read(SocketChannel from, int length) throws IOException {
            ByteBuffer bytes = ByteBuffer.allocate(length);
            while (bytes.hasRemaining()) {
                require(from.read(bytes) >= 0, "more bytes");
            }
            return bytes.flip();
        }

        private static void require(boolean holds, String what) throws IOException {
            if (!holds) {
                throw new IOException("expected: " + what);
            }
        }
    }
}
