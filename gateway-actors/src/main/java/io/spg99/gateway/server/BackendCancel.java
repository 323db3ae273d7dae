package io.spg99.gateway.server;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.EventLoop;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import io.netty.util.ReferenceCountUtil;
import io.spg99.gateway.lease.Lease;
import io.spg99.gateway.wire.BackendLogin;
import io.spg99.gateway.wire.ClientMessages;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.Done;

/** Sends one cancel request to a backend. PostgreSQL answers by closing, after it has signalled. */
final class BackendCancel extends ChannelInboundHandlerAdapter {

    private final BackendLogin.LoggedIn key;

    private BackendCancel(BackendLogin.LoggedIn key) {
        this.key = key;
    }

    /** Ends when the request was delivered, or could not be: nobody is told which, as with PostgreSQL. */
    static CompletionStage<Done> send(GatewayContext gateway, Lease lease, BackendLogin.LoggedIn key, EventLoop loop) {
        CompletableFuture<Done> done = new CompletableFuture<>();
        Channel channel = BackendConnection.open(gateway, lease, loop, new BackendCancel(key))
                .channel();
        channel.closeFuture().addListener(closed -> done.complete(Done.getInstance()));
        loop.schedule(
                () -> channel.close(),
                gateway.settings().times().backendConnect().multipliedBy(2).toMillis(),
                TimeUnit.MILLISECONDS);
        return done;
    }

    @Override
    public void channelActive(ChannelHandlerContext ctx) throws Exception {
        if (BackendConnection.isReady(ctx)) {
            request(ctx);
        }
        super.channelActive(ctx);
    }

    private void request(ChannelHandlerContext ctx) {
        ByteBuf out = ctx.alloc().buffer(16);
        ClientMessages.cancelRequest(out, key.processId(), key.secretKey());
        ctx.writeAndFlush(out);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) throws Exception {
        if (event instanceof SslHandshakeCompletionEvent handshake) {
            if (handshake.isSuccess()) {
                request(ctx);
            } else {
                ctx.close();
            }
        }
        super.userEventTriggered(ctx, event);
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        ReferenceCountUtil.release(message);
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        ctx.close();
    }
}
