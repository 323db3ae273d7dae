package io.spg99.gateway.server;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.util.concurrent.Future;
import io.spg99.gateway.lease.GatewayRegistry;
import io.spg99.gateway.lease.Lease;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.lease.LeaseHolder;
import io.spg99.gateway.wire.BackendStream;
import io.spg99.gateway.wire.ClientStream;
import io.spg99.gateway.wire.RequestTracker;
import io.spg99.gateway.wire.ServerMessages;
import io.spg99.gateway.wire.SqlError;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.Done;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A logged-in client: waits for a lease, connects to the writer, and passes bytes both ways until one side ends. All of
 * it, the backend connection too, runs on the client channel's event loop.
 *
 * <pre>
 * WAITING    -- coming ---------------> WAITING, with a backend that connects, logs in and is held
 * WAITING    -- granted --------------> CONNECTING (with that backend if it is of this lease, or with a new one)
 * CONNECTING -- backend logged in ----> PROXYING
 * CONNECTING -- connect failed -------> WAITING (the database is asked again)
 * WAITING, CONNECTING -- wake timeout, refused, cancel request -> CLOSED with an error
 * PROXYING   -- backend lost, generation revoked, Gateway stops -> CLOSED with an error that tells of a commit in flight
 * PROXYING   -- client gone while its query runs -> ABANDONED (the query may end, then is cancelled)
 * any        -- client gone ----------> CLOSED
 * </pre>
 */
final class ClientSession extends ChannelInboundHandlerAdapter implements LeaseHolder {

    private static final Logger LOG = LoggerFactory.getLogger(ClientSession.class);

    /** Clients whose connections are no sign of the database being used. */
    private static final Set<String> UNCOUNTED = Set.of("postgres_exporter", "pgbouncer_exporter", "spg99_health");

    /** A writer that is just starting or stopping answers so; the lease will tell what comes of it. */
    private static final Set<String> RETRIED = Set.of("57P01", "57P02", "57P03");

    /** Bytes a client may send before its backend is there. */
    private static final int MAX_EARLY_BYTES = 65_536;

    private static final SqlError CANCELED =
            new SqlError("57014", "canceling the wait for the database due to user request");
    private static final SqlError WAKE_TIMEOUT = new SqlError(
            "57P03", "the database did not become ready in time", "It may still be waking up. Retry in some seconds.");
    private static final SqlError WRITER_LOST = new SqlError("57P01", "the writer was lost; reconnect");
    private static final SqlError STOPPING =
            new SqlError("57P01", "terminating connection due to administrator command");
    private static final SqlError UNKNOWN = new SqlError(
            "08007",
            "transaction resolution unknown: the connection was lost while a commit may have been in progress",
            "The transaction may or may not have been committed. Reconnect and check before retrying.");

    private enum Phase {
        WAITING,
        CONNECTING,
        PROXYING,
        ABANDONED,
        CLOSED
    }

    private final ClientConnection connection;
    private final GatewayContext gateway;
    private final Channel client;
    private final String databaseId;
    private final Map<String, String> parameters;
    private final RequestTracker tracker = new RequestTracker();
    private final ClientStream fromClient = new ClientStream(tracker);
    private final BackendStream fromBackend = new BackendStream(tracker);
    private final List<Future<?>> waitTimers = new ArrayList<>();
    private final ArrayDeque<ByteBuf> early = new ArrayDeque<>();
    private final long startedNanos = System.nanoTime();

    private Phase phase = Phase.WAITING;
    private Optional<CancelKeys.Key> key;
    private int earlyBytes;
    /** A connect has failed; logged once, however often it is tried. */
    private boolean retrying;
    /** Set while CONNECTING, PROXYING and ABANDONED; while WAITING if it was connected ahead of the grant, held then. */
    private @Nullable BackendConnection backend;

    ClientSession(ClientConnection connection, String databaseId, Map<String, String> parameters) {
        this.connection = connection;
        this.gateway = connection.gateway;
        this.client = connection.channel;
        this.databaseId = databaseId;
        this.parameters = parameters;
        key = Optional.of(gateway.cancelKeys().register(this));
    }

    /** What the client sends to cancel its query; empty when the session has ended. */
    Optional<CancelKeys.Key> key() {
        return key;
    }

    // ---- waiting for a writer

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        if (!client.isActive()) {
            end();
            return;
        }
        GatewaySettings.Times times = gateway.settings().times();
        waitTimers.add(connection.after(times.wakeNotice(), this::onNoticeDue));
        waitTimers.add(connection.after(times.wake(), this::onWakeTimeout));
        boolean counted = !UNCOUNTED.contains(parameters.getOrDefault("application_name", ""));
        gateway.registry().tell(new GatewayRegistry.Checkout(databaseId, this, counted));
    }

    private void onNoticeDue() {
        SqlError notice = new SqlError("00000", "database \"" + parameters.get("database") + "\" is waking up");
        connection.send(out -> ServerMessages.notice(out, notice));
    }

    private void onWakeTimeout() {
        gateway.metrics().checkoutTimeouts.increment();
        fail(WAKE_TIMEOUT);
    }

    @Override
    public void coming(LeaseEvent.Coming coming) {
        client.eventLoop().execute(() -> onComing(coming));
    }

    private void onComing(LeaseEvent.Coming coming) {
        if (phase == Phase.WAITING) {
            dropHeld("another writer is coming up");
            Lease expected = new Lease(coming.generation(), coming.writer());
            backend = BackendConnection.connectAhead(
                    gateway, expected, parameters, client.eventLoop(), new FromBackend());
        }
    }

    /** What was connected ahead is of no use. Nobody is told: the grant will lead to a connection as ever. */
    private void dropHeld(String reason) {
        BackendConnection held = backend;
        if (held != null) {
            LOG.debug(
                    "session {}: drops its connection to the coming generation {}, {}",
                    connection.id,
                    held.lease().generation(),
                    reason);
            backend = null;
            held.terminate();
        }
    }

    @Override
    public void granted(Lease lease) {
        client.eventLoop().execute(() -> onGranted(lease));
    }

    private void onGranted(Lease lease) {
        if (phase != Phase.WAITING) {
            return;
        }
        BackendConnection held = backend;
        if (held != null && held.lease().equals(lease)) {
            phase = Phase.CONNECTING;
            held.admit();
        } else {
            dropHeld("generation " + lease.generation() + " is granted");
            connect(lease);
        }
    }

    private void connect(Lease lease) {
        phase = Phase.CONNECTING;
        backend = BackendConnection.connect(gateway, lease, parameters, client.eventLoop(), new FromBackend());
    }

    /** It may have come too early (there was no role yet). If the lease is there by now, it is tried as ever. */
    private void aheadFailed(BackendConnection failed, String reason) {
        dropHeld(reason);
        if (phase == Phase.CONNECTING) {
            connect(failed.lease());
        }
    }

    @Override
    public void refused(LeaseEvent.Refused refusal) {
        SqlError error = new SqlError(refusal.sqlState(), refusal.message(), refusal.hint());
        client.eventLoop().execute(() -> {
            if (phase == Phase.WAITING || phase == Phase.CONNECTING) {
                fail(error);
            }
        });
    }

    @Override
    public void revoked(int generation, LeaseEvent.Reason reason) {
        client.eventLoop().execute(() -> onRevoked(generation));
    }

    private void onRevoked(int generation) {
        BackendConnection current = backend;
        if (current == null || current.lease().generation() > generation) {
            return;
        }
        switch (phase) {
            case CONNECTING -> waitAgain(current, "generation revoked");
            case PROXYING -> lost(WRITER_LOST);
            case ABANDONED -> end();
            case WAITING -> dropHeld("generation revoked");
            case CLOSED -> {}
        }
    }

    private void waitAgain(BackendConnection failed, String reason) {
        if (!retrying) {
            retrying = true;
            LOG.info(
                    "session {}: cannot use the writer of generation {}, {}; retrying",
                    connection.id,
                    failed.lease().generation(),
                    reason);
        }
        failed.close();
        backend = null;
        phase = Phase.WAITING;
        gateway.registry()
                .tell(new GatewayRegistry.ConnectFailed(
                        databaseId, this, failed.lease().generation()));
    }

    /** A cancel request of this session's client. From any thread. */
    CompletionStage<Done> cancel() {
        CompletableFuture<Done> done = new CompletableFuture<>();
        client.eventLoop().execute(() -> onCancel(done));
        return done;
    }

    private void onCancel(CompletableFuture<Done> done) {
        if (phase == Phase.WAITING || phase == Phase.CONNECTING) {
            fail(CANCELED);
        }
        BackendConnection current = backend;
        if (phase == Phase.PROXYING && tracker.inFlight() && current != null) {
            cancelBackend(current).thenAccept(done::complete);
        } else {
            done.complete(Done.getInstance());
        }
    }

    private CompletionStage<Done> cancelBackend(BackendConnection current) {
        return BackendCancel.send(gateway, current.lease(), current.key(), client.eventLoop());
    }

    /** The Gateway stops. On the event loop. */
    void shutdown() {
        if (phase == Phase.PROXYING) {
            lost(STOPPING);
        } else if (phase == Phase.ABANDONED) {
            end();
        } else {
            fail(STOPPING);
        }
    }

    // ---- client to backend

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        ByteBuf bytes = (ByteBuf) message;
        if (phase == Phase.CLOSED || connection.closing()) {
            bytes.release();
            return;
        }
        Optional<SqlError> error = fromClient.inspect(bytes);
        if (error.isPresent()) {
            bytes.release();
            fail(error.get());
            return;
        }
        BackendConnection current = backend;
        if (phase == Phase.PROXYING && current != null) {
            current.write(bytes);
            return;
        }
        early.add(bytes);
        earlyBytes += bytes.readableBytes();
        if (tracker.terminated()) {
            client.close();
        } else if (earlyBytes > MAX_EARLY_BYTES) {
            client.config().setAutoRead(false);
        }
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
        if (phase == Phase.PROXYING && backend != null) {
            backend.flush();
        }
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext ctx) {
        if (phase == Phase.PROXYING && backend != null) {
            backend.setReading(client.isWritable());
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        BackendConnection current = backend;
        if (phase != Phase.PROXYING || current == null || fromClient.midMessage() || !tracker.backendBusy()) {
            end();
            return;
        }
        abandon(current);
    }

    /** Nobody waits for the running query any more. It may end by itself, so that a commit is not cut short. */
    private void abandon(BackendConnection current) {
        phase = Phase.ABANDONED;
        current.setReading(true);
        long grace = gateway.settings().times().abandonedQueryGrace().toMillis();
        client.eventLoop().schedule(() -> onAbandonedTooLong(current), grace, TimeUnit.MILLISECONDS);
    }

    private void onAbandonedTooLong(BackendConnection current) {
        if (phase == Phase.ABANDONED) {
            LOG.info("session {}: cancels a query whose client is gone", connection.id);
            cancelBackend(current).thenAccept(done -> client.eventLoop().execute(this::end));
        }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        LOG.debug("session {}: {}", connection.id, cause.toString());
        ctx.close();
    }

    // ---- backend to client

    private final class FromBackend implements BackendConnection.Listener {

        @Override
        public void loggedIn(ByteBuf forClient) {
            phase = Phase.PROXYING;
            stopWaiting();
            gateway.metrics().checkoutWait.record(Duration.ofNanos(System.nanoTime() - startedNanos));
            client.writeAndFlush(forClient);
            BackendConnection current = backend;
            if (current != null) {
                early.forEach(current::write);
                early.clear();
                current.flush();
            }
            client.config().setAutoRead(true);
        }

        @Override
        public void refused(SqlError error) {
            BackendConnection current = backend;
            if (current != null && current.ahead()) {
                aheadFailed(current, error.sqlState() + " " + error.message());
            } else if (current != null && RETRIED.contains(error.sqlState())) {
                waitAgain(current, error.sqlState() + " " + error.message());
            } else {
                fail(error);
            }
        }

        @Override
        public void failed(String reason) {
            BackendConnection current = backend;
            if (current != null && current.ahead()) {
                aheadFailed(current, reason);
            } else if (current != null && phase == Phase.CONNECTING) {
                waitAgain(current, reason);
            }
        }

        @Override
        public void received(ByteBuf bytes) {
            ByteBuf forward = fromBackend.feed(bytes, client.alloc());
            if (phase == Phase.ABANDONED) {
                forward.release();
                if (!tracker.inFlight()) {
                    end();
                }
                return;
            }
            client.write(forward);
            switch (fromBackend.verdict()) {
                case GO_ON, FATAL_PASSED -> {}
                case COMMIT_UNKNOWN -> fail(UNKNOWN);
                case MALFORMED -> {
                    LOG.error("session {}: the backend does not speak the protocol", connection.id);
                    end();
                    connection.closeAfterFlush();
                }
            }
        }

        @Override
        public void readComplete() {
            client.flush();
        }

        @Override
        public void writabilityChanged(boolean writable) {
            if (phase == Phase.PROXYING) {
                client.config().setAutoRead(writable);
            }
        }

        @Override
        public void closed() {
            if (phase == Phase.PROXYING) {
                lost(WRITER_LOST);
            } else {
                end();
            }
        }
    }

    // ---- the end

    /** The backend connection is, or has to be, no more. What the client is told depends on what was in flight. */
    private void lost(SqlError otherwise) {
        boolean told = tracker.terminated() || fromBackend.verdict() == BackendStream.Verdict.FATAL_PASSED;
        if (told || fromBackend.midMessage()) {
            // In the middle of a message no error can be put in: the broken connection has to say it.
            LOG.info("session {}: closed with the backend connection", connection.id);
            end();
            connection.closeAfterFlush();
        } else {
            fail(tracker.mayCommit() ? UNKNOWN : otherwise);
        }
    }

    private void fail(SqlError error) {
        end();
        connection.fatal(error);
    }

    private void stopWaiting() {
        waitTimers.forEach(timer -> timer.cancel(false));
        waitTimers.clear();
    }

    /** Gives everything back. The client channel is closed by whoever calls, or is closed already. */
    private void end() {
        if (phase == Phase.CLOSED) {
            return;
        }
        boolean polite = phase == Phase.WAITING
                || (phase == Phase.PROXYING && !fromClient.midMessage() && !tracker.terminated());
        phase = Phase.CLOSED;
        stopWaiting();
        key.ifPresent(gateway.cancelKeys()::remove);
        key = Optional.empty();
        early.forEach(ByteBuf::release);
        early.clear();
        fromBackend.release();
        BackendConnection current = backend;
        backend = null;
        if (current != null) {
            if (polite) {
                current.terminate();
            } else {
                current.close();
            }
        }
        gateway.registry().tell(new GatewayRegistry.Return(databaseId, this));
    }
}
