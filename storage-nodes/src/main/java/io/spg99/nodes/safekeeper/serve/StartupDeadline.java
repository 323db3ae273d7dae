package io.spg99.nodes.safekeeper.serve;

import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerAdapter;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Closes a connection on which no startup packet has come in time: half-open ones cost nothing for long. */
final class StartupDeadline extends ChannelHandlerAdapter {

    private final long seconds;
    private @Nullable ScheduledFuture<?> timer;

    StartupDeadline(long seconds) {
        this.seconds = seconds;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        timer = context.executor().schedule(() -> context.close(), seconds, TimeUnit.SECONDS);
    }

    @Override
    public void handlerRemoved(ChannelHandlerContext context) {
        cancel();
    }

    private void cancel() {
        ScheduledFuture<?> running = timer;
        if (running != null) {
            running.cancel(false);
            timer = null;
        }
    }

    /** The handler that ends the wait: placed behind the decoder, it sees the first whole message. */
    ChannelHandler end() {
        return new ChannelInboundHandlerAdapter() {
            @Override
            public void channelRead(ChannelHandlerContext context, Object message) {
                cancel();
                context.pipeline().remove(this);
                context.fireChannelRead(message);
            }
        };
    }
}
