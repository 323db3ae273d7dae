package io.spg99.nodes.safekeeper.serve;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPipeline;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.ssl.SslContext;
import java.util.List;
import java.util.function.Consumer;

/** The first words on a connection, in the clear: the client has to ask for TLS. */
final class TlsNegotiation extends ByteToMessageDecoder {

    private static final int LENGTH = 8;
    private static final int SSL_REQUEST = 80877103;
    private static final int GSSENC_REQUEST = 80877104;

    private final SslContext tls;
    private final Consumer<ChannelPipeline> session;

    /** @param session adds the handlers that follow once TLS is agreed on */
    TlsNegotiation(SslContext tls, Consumer<ChannelPipeline> session) {
        this.tls = tls;
        this.session = session;
    }

    @Override
    protected void decode(ChannelHandlerContext context, ByteBuf in, List<Object> out) {
        if (in.readableBytes() < LENGTH) {
            return;
        }
        int length = in.readInt();
        int code = in.readInt();
        if (length == LENGTH && code == GSSENC_REQUEST) {
            answer(context, 'N');
        } else if (length == LENGTH && code == SSL_REQUEST && !in.isReadable()) {
            answer(context, 'S');
            context.pipeline().addLast(tls.newHandler(context.alloc()));
            session.accept(context.pipeline());
            context.pipeline().remove(this);
        } else {
            // Also when bytes follow the request in the clear: somebody put them there for us to take as the client's.
            in.skipBytes(in.readableBytes());
            context.writeAndFlush(BackendMessages.error(context.alloc(), "FATAL", "28000", "TLS is required"))
                    .addListener(done -> context.close());
        }
    }

    private static void answer(ChannelHandlerContext context, char letter) {
        context.writeAndFlush(Unpooled.wrappedBuffer(new byte[] {(byte) letter}));
    }
}
