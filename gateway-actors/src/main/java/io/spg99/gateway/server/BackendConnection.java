package io.spg99.gateway.server;

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import io.netty.util.concurrent.Future;
import io.spg99.gateway.lease.Lease;
import io.spg99.gateway.lease.WriterLocation;
import io.spg99.gateway.wire.BackendLogin;
import io.spg99.gateway.wire.ClientMessages;
import io.spg99.gateway.wire.SqlError;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One connection to a writer: its Unix socket on the same machine, or TLS with the Gateway's certificate, login as the
 * tenant's role, then bytes. TLS is negotiated directly (PostgreSQL 17), which saves a round trip. Lives on its pool's
 * event loop.
 *
 * <p>One that is connected ahead of its lease says nothing of its login before {@link #admit}, and takes no bytes: what a
 * writer shows before it is ready may never have been (rule W8).
 */
final class BackendConnection extends ChannelInboundHandlerAdapter {

    /** What happens to it, told to its session. After {@code refused} or {@code failed} nothing more comes. */
    interface Listener {
        /** @param forClient what the client is to see of the login, ReadyForQuery included; the listener frees it */
        void loggedIn(ByteBuf forClient);

        /** The backend answered the login with an error. */
        void refused(SqlError error);

        /** No usable connection came about. */
        void failed(String reason);

        /** The listener frees the buffer. */
        void received(ByteBuf bytes);

        void readComplete();

        void writabilityChanged(boolean writable);

        void closed();
    }

    private enum Phase {
        CONNECTING,
        LOGIN,
        /** Logged in, and not admitted. */
        HELD,
        OPEN,
        CLOSED
    }

    /** Bytes of a login kept until it is admitted; PostgreSQL's is about 500. */
    private static final int MAX_HELD_BYTES = 65_536;

    /** It is about to end, or its settings have changed: either way a new connection is better. */
    private static final String UNASKED = "the backend spoke without being asked";

    private final GatewayContext gateway;
    private final Lease lease;
    private final Map<String, String> parameters;
    private final Listener listener;
    private final boolean ahead;
    private final BackendLogin login = new BackendLogin();

    private Phase phase = Phase.CONNECTING;
    /** The lease is there: the login may be told of. At first true unless {@code ahead}. */
    private boolean admitted;

    private @Nullable Channel channel;
    private @Nullable Future<?> timeout;
    /** Bytes of the login not yet complete, and what is collected for the client. */
    private @Nullable ByteBuf incoming;

    private @Nullable ByteBuf forClient;
    private BackendLogin.LoggedIn key = new BackendLogin.LoggedIn(0, 0);

    private BackendConnection(
            GatewayContext gateway, Lease lease, Map<String, String> parameters, Listener listener, boolean ahead) {
        this.ahead = ahead;
        admitted = !ahead;
        this.gateway = gateway;
        this.lease = lease;
        this.parameters = parameters;
        this.listener = listener;
    }

    /** Begins to connect. */
    static BackendConnection connect(
            GatewayContext gateway, Lease lease, Map<String, String> parameters, EventLoop loop, Listener listener) {
        return connect(new BackendConnection(gateway, lease, parameters, listener, false), loop);
    }

    /** Begins to connect and log in, no further: there is no lease yet, only the expectation of this one. */
    static BackendConnection connectAhead(
            GatewayContext gateway, Lease expected, Map<String, String> parameters, EventLoop loop, Listener listener) {
        return connect(new BackendConnection(gateway, expected, parameters, listener, true), loop);
    }

    private static BackendConnection connect(BackendConnection connection, EventLoop loop) {
        GatewayContext gateway = connection.gateway;
        gateway.metrics().backendConnects.increment();
        ChannelFuture connecting = open(gateway, connection.lease, loop, connection);
        connection.channel = connecting.channel();
        connection.timeout = loop.schedule(
                () -> connection.fail("login timeout"),
                gateway.settings().times().login().toMillis(),
                TimeUnit.MILLISECONDS);
        connecting.addListener(done -> {
            if (!done.isSuccess()) {
                connection.fail(String.valueOf(done.cause().getMessage()));
            }
        });
        return connection;
    }

    /**
     * Connects, to the writer's Unix socket if it is on this machine, or else with TLS. The handler may speak when it sees
     * {@link #isReady}.
     */
    static ChannelFuture open(
            GatewayContext gateway, Lease lease, EventLoop loop, ChannelInboundHandlerAdapter handler) {
        WriterLocation writer = lease.writer();
        Bootstrap bootstrap = new Bootstrap()
                .group(loop)
                .option(
                        ChannelOption.CONNECT_TIMEOUT_MILLIS,
                        Math.toIntExact(
                                gateway.settings().times().backendConnect().toMillis()))
                .option(ChannelOption.ALLOCATOR, PooledByteBufAllocator.DEFAULT)
                .option(ChannelOption.WRITE_BUFFER_WATER_MARK, GatewayServer.WATER_MARK);
        Optional<String> socket = writer.socket().filter(path -> Files.isWritable(Path.of(path)));
        if (gateway.unixSockets().isPresent() && socket.isPresent()) {
            return bootstrap
                    .channelFactory(gateway.unixSockets().get())
                    .handler(handler)
                    .connect(new DomainSocketAddress(socket.get()));
        }
        return bootstrap
                .channelFactory(gateway.sockets())
                .option(ChannelOption.TCP_NODELAY, true)
                .option(ChannelOption.SO_KEEPALIVE, true)
                .handler(new ChannelInitializer<SocketChannel>() {
                    @Override
                    protected void initChannel(SocketChannel channel) {
                        SslHandler tls = gateway.tls()
                                .backend
                                .newHandler(
                                        channel.alloc(),
                                        gateway.settings().tls().backendName(),
                                        writer.port());
                        channel.pipeline().addLast(tls, handler);
                    }
                })
                .connect(writer.host(), writer.port());
    }

    /** Whether a channel that has just become active can be used, or TLS comes first and tells by its own event. */
    static boolean isReady(ChannelHandlerContext ctx) {
        return ctx.pipeline().get(SslHandler.class) == null;
    }

    Lease lease() {
        return lease;
    }

    /** Begun before there was a lease: that it failed says nothing about the writer that is ready. */
    boolean ahead() {
        return ahead;
    }

    /** The lease is there, or was from the beginning. */
    boolean admitted() {
        return admitted;
    }

    /** The backend's own key, for cancel requests. */
    BackendLogin.LoggedIn key() {
        return key;
    }

    /** The lease expected is there: goes on as if it were connected with it. */
    void admit() {
        admitted = true;
        if (phase == Phase.HELD && incoming != null && forClient != null) {
            open(incoming, forClient);
        }
    }

    void write(ByteBuf bytes) {
        Channel open = channel;
        if (open == null || phase == Phase.CLOSED) {
            bytes.release();
        } else {
            open.write(bytes);
        }
    }

    void flush() {
        if (channel != null) {
            channel.flush();
        }
    }

    /** False while the backend takes less than is written. */
    boolean isWritable() {
        return channel == null || channel.isWritable();
    }

    void setReading(boolean reading) {
        if (channel != null) {
            channel.config().setAutoRead(reading);
        }
    }

    /** Takes leave as the protocol has it, then closes. Not to be called in the middle of a client's message. */
    void terminate() {
        if (channel != null && (phase == Phase.OPEN || phase == Phase.HELD)) {
            ByteBuf out = channel.alloc().buffer(8);
            ClientMessages.terminate(out);
            channel.writeAndFlush(out);
        }
        close();
    }

    /** Closes without a further word to the listener. */
    void close() {
        boolean open = phase == Phase.OPEN || phase == Phase.HELD;
        if (phase == Phase.CLOSED) {
            return;
        }
        phase = Phase.CLOSED;
        if (open) {
            gateway.metrics().backends.decrementAndGet();
        }
        releaseLogin();
        if (channel != null) {
            channel.close();
        }
    }

    private void fail(String reason) {
        if (phase == Phase.CONNECTING || phase == Phase.LOGIN || phase == Phase.HELD) {
            close();
            listener.failed(reason);
        }
    }

    private void stopTimeout() {
        if (timeout != null) {
            timeout.cancel(false);
        }
    }

    private void releaseLogin() {
        stopTimeout();
        if (incoming != null) {
            incoming.release();
            incoming = null;
        }
        if (forClient != null) {
            forClient.release();
            forClient = null;
        }
    }

    @Override
    public void channelActive(ChannelHandlerContext ctx) throws Exception {
        if (isReady(ctx)) {
            logIn(ctx);
        }
        super.channelActive(ctx);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) throws Exception {
        if (event instanceof SslHandshakeCompletionEvent handshake && phase == Phase.CONNECTING) {
            if (handshake.isSuccess()) {
                gateway.metrics().backendTlsOk.increment();
                logIn(ctx);
            } else {
                gateway.metrics().backendTlsErrors.increment();
                fail("TLS handshake: " + handshake.cause().getMessage());
            }
        }
        super.userEventTriggered(ctx, event);
    }

    private void logIn(ChannelHandlerContext ctx) {
        if (phase == Phase.CONNECTING) {
            phase = Phase.LOGIN;
            ByteBuf out = ctx.alloc().buffer(256);
            ClientMessages.startup(out, parameters);
            ctx.writeAndFlush(out);
        }
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        ByteBuf bytes = (ByteBuf) message;
        switch (phase) {
            case OPEN -> listener.received(bytes);
            case LOGIN -> onLoginBytes(ctx, bytes);
            case HELD -> {
                bytes.release();
                fail(UNASKED);
            }
            case CONNECTING, CLOSED -> bytes.release();
        }
    }

    private void onLoginBytes(ChannelHandlerContext ctx, ByteBuf bytes) {
        ByteBuf in = incoming == null ? ctx.alloc().buffer(bytes.readableBytes()) : incoming;
        incoming = in;
        in.writeBytes(bytes);
        bytes.release();
        ByteBuf collected = forClient == null ? ctx.alloc().buffer() : forClient;
        forClient = collected;
        BackendLogin.Step step = login.feed(in, collected);
        if (!admitted && collected.readableBytes() > MAX_HELD_BYTES) {
            fail("more than " + MAX_HELD_BYTES + " bytes of login");
            return;
        }
        switch (step) {
            case BackendLogin.Waiting waiting -> in.discardSomeReadBytes();
            case BackendLogin.LoggedIn loggedIn -> onLoggedIn(loggedIn, in, collected);
            case BackendLogin.Refused refused -> {
                close();
                listener.refused(refused.error());
            }
            case BackendLogin.Unexpected unexpected -> fail(unexpected.what());
        }
    }

    private void onLoggedIn(BackendLogin.LoggedIn loggedIn, ByteBuf rest, ByteBuf collected) {
        key = loggedIn;
        phase = Phase.HELD;
        gateway.metrics().backends.incrementAndGet();
        stopTimeout();
        if (admitted) {
            open(rest, collected);
        } else if (rest.isReadable()) {
            fail(UNASKED);
        }
    }

    private void open(ByteBuf rest, ByteBuf collected) {
        phase = Phase.OPEN;
        incoming = null;
        forClient = null;
        listener.loggedIn(collected);
        if (rest.isReadable()) {
            listener.received(rest);
        } else {
            rest.release();
        }
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
        if (phase == Phase.OPEN) {
            listener.readComplete();
        }
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext ctx) {
        if (phase == Phase.OPEN) {
            listener.writabilityChanged(ctx.channel().isWritable());
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        if (phase == Phase.OPEN) {
            close();
            listener.closed();
        } else {
            fail("closed by the backend");
        }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        fail(String.valueOf(cause.getMessage()));
        ctx.close();
    }
}
