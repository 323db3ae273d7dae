package io.spg99.gateway.server;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.socket.SocketChannel;
import io.spg99.gateway.wire.StartupDecoder;

/** Gives a new connection its place under the limit and its handlers; the first byte tells whether it is TLS. */
final class ClientInitializer extends ChannelInitializer<SocketChannel> {

    private final GatewayContext gateway;

    ClientInitializer(GatewayContext gateway) {
        this.gateway = gateway;
    }

    @Override
    protected void initChannel(SocketChannel channel) {
        int limit = gateway.settings().limits().preAuthConnections();
        int before = gateway.preAuth().incrementAndGet();
        boolean admitted = before <= limit;
        if (!admitted) {
            gateway.preAuth().decrementAndGet();
            if (gateway.connections().size()
                    > limit + gateway.settings().limits().connections()) {
                // So many that even telling them costs too much.
                channel.close();
                return;
            }
        }
        ClientConnection connection = new ClientConnection(gateway, channel, admitted);
        channel.pipeline().addLast(new FirstByte(connection, admitted));
    }

    private static final class FirstByte extends ChannelInboundHandlerAdapter {

        private final ClientConnection connection;
        private final boolean admitted;

        FirstByte(ClientConnection connection, boolean admitted) {
            this.connection = connection;
            this.admitted = admitted;
        }

        @Override
        public void channelRead(ChannelHandlerContext ctx, Object message) {
            boolean direct = admitted && StartupDecoder.isTls((ByteBuf) message);
            if (direct) {
                ctx.pipeline().addLast(connection.tls.server.newHandler(ctx.alloc()));
            }
            ctx.pipeline().addLast(new StartupHandler(connection, admitted, direct));
            ctx.fireChannelRead(message);
            ctx.pipeline().remove(this);
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
            ctx.close();
        }
    }
}
