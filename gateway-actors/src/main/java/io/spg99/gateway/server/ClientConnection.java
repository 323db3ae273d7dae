package io.spg99.gateway.server;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.util.concurrent.Future;
import io.spg99.gateway.wire.ServerMessages;
import io.spg99.gateway.wire.SqlError;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One client's connection from accept to close: its place under the limits, its login timeout, its end. All methods but
 * {@link #shutdown} run on the channel's event loop.
 */
final class ClientConnection {

    private static final Logger LOG = LoggerFactory.getLogger(ClientConnection.class);

    /** A client that does not read its last error is closed without having read it. */
    private static final Duration LAST_WORDS = Duration.ofSeconds(3);

    final GatewayContext gateway;
    final Channel channel;
    /** As they were when it began: the password check may be bound to them. */
    final TlsContexts tls;
    /** For the log. */
    final String id;

    final Instant began = Instant.now();

    private final Future<?> loginTimeout;
    private @Nullable AtomicInteger countedIn;
    private boolean closing;
    private @Nullable ClientSession session;

    /** @param admitted whether it counts among the connections before login (one over the limit does not) */
    ClientConnection(GatewayContext gateway, Channel channel, boolean admitted) {
        this.gateway = gateway;
        this.channel = channel;
        tls = gateway.tls();
        id = Long.toHexString(gateway.ids().incrementAndGet());
        countedIn = admitted ? gateway.preAuth() : null;
        loginTimeout = after(gateway.settings().times().login(), this::onLoginTimeout);
        gateway.connections().add(this);
        channel.closeFuture().addListener(closed -> onClosed());
    }

    Future<?> after(Duration delay, Runnable task) {
        return channel.eventLoop().schedule(task, delay.toMillis(), TimeUnit.MILLISECONDS);
    }

    private void onLoginTimeout() {
        LOG.info("session {}: login timeout, remote={}", id, channel.remoteAddress());
        channel.close();
    }

    /** The password was right. False if there is no room for another logged-in connection. */
    boolean loggedIn() {
        loginTimeout.cancel(false);
        leave();
        if (gateway.loggedIn().incrementAndGet() > gateway.settings().limits().connections()) {
            gateway.loggedIn().decrementAndGet();
            return false;
        }
        countedIn = gateway.loggedIn();
        return true;
    }

    void attach(ClientSession newSession) {
        session = newSession;
    }

    /** True once the end has been decided: what the client still sends is of no interest. */
    boolean closing() {
        return closing || !channel.isActive();
    }

    /** Tells the client, then closes. The first call counts. Logged here, once. */
    void fatal(SqlError error) {
        if (closing) {
            return;
        }
        LOG.info("session {}: {} {}, remote={}", id, error.sqlState(), error.message(), channel.remoteAddress());
        closing = true;
        send(out -> ServerMessages.fatal(out, error));
        closeAfterFlush();
    }

    /** Closes when all that was written has gone out, or after a while if the client does not read. */
    void closeAfterFlush() {
        closing = true;
        channel.config().setAutoRead(true);
        channel.writeAndFlush(channel.alloc().buffer(0)).addListener(ChannelFutureListener.CLOSE);
        after(LAST_WORDS, channel::close);
    }

    void send(Consumer<ByteBuf> message) {
        ByteBuf out = channel.alloc().buffer(256);
        message.accept(out);
        channel.writeAndFlush(out);
    }

    /** The Gateway stops. From any thread. */
    void shutdown() {
        channel.eventLoop().execute(() -> {
            ClientSession running = session;
            if (running != null) {
                running.shutdown();
            } else {
                channel.close();
            }
        });
    }

    private void onClosed() {
        loginTimeout.cancel(false);
        leave();
        gateway.connections().remove(this);
    }

    private void leave() {
        AtomicInteger counter = countedIn;
        if (counter != null) {
            counter.decrementAndGet();
            countedIn = null;
        }
    }
}
