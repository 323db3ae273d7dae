package io.spg99.gateway.server;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import io.spg99.gateway.wire.Decoded;
import io.spg99.gateway.wire.Protocol;
import io.spg99.gateway.wire.ServerMessages;
import io.spg99.gateway.wire.SqlError;
import io.spg99.gateway.wire.StartupDecoder;
import io.spg99.gateway.wire.StartupPacket;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A connection's first packets, before and inside TLS.
 *
 * <pre>
 * plain: SSLRequest -> 'S', TLS | GSSENCRequest -> 'N' | CancelRequest | StartupMessage -> 28000
 * TLS:   CancelRequest | StartupMessage -> LoginHandler
 * </pre>
 */
final class StartupHandler extends ByteToMessageDecoder {

    private static final Logger LOG = LoggerFactory.getLogger(StartupHandler.class);

    private static final SqlError NO_TLS =
            new SqlError("28000", "this server accepts encrypted connections only", "Connect with sslmode=require.");
    private static final SqlError TOO_MANY =
            new SqlError("53300", "sorry, too many clients already", "Retry in some seconds.");

    private final ClientConnection connection;
    private final boolean admitted;
    private final StartupDecoder decoder;
    /** TLS began without an SSLRequest: the protocol must have been named in the handshake. */
    private final boolean direct;

    private boolean encrypted;
    private boolean gssRequested;
    /** It was here to cancel a query, and nothing else. */
    private boolean cancels;

    StartupHandler(ClientConnection connection, boolean admitted, boolean direct) {
        this.connection = connection;
        this.admitted = admitted;
        this.direct = direct;
        encrypted = direct;
        decoder = new StartupDecoder(connection.gateway.settings().limits().startupPacket());
    }

    @Override
    protected void decode(ChannelHandlerContext ctx, ByteBuf in, List<Object> out) {
        if (connection.closing() || cancels) {
            in.skipBytes(in.readableBytes());
            return;
        }
        if (!admitted) {
            in.skipBytes(in.readableBytes());
            connection.fatal(TOO_MANY);
            return;
        }
        switch (decoder.decode(in)) {
            case Decoded.NeedMore<StartupPacket> more -> {}
            case Decoded.Malformed<StartupPacket> malformed -> connection.fatal(malformed.error());
            case Decoded.Message<StartupPacket> message -> onPacket(ctx, in, message.value());
        }
    }

    private void onPacket(ChannelHandlerContext ctx, ByteBuf in, StartupPacket packet) {
        switch (packet) {
            case StartupPacket.SslRequest request -> onSslRequest(ctx, in);
            case StartupPacket.GssEncRequest request -> onGssEncRequest(ctx);
            case StartupPacket.CancelRequest cancel -> onCancel(ctx, cancel);
            case StartupPacket.UnsupportedVersion version ->
                connection.fatal(new SqlError(
                        "0A000",
                        "unsupported frontend protocol " + version.major() + "." + version.minor()
                                + ": server supports 3.0 to 3.0"));
            case StartupPacket.Startup startup -> onStartup(ctx, startup);
        }
    }

    private void onSslRequest(ChannelHandlerContext ctx, ByteBuf in) {
        if (encrypted) {
            connection.fatal(SqlError.protocolViolation("SSLRequest inside TLS"));
            return;
        }
        if (in.isReadable()) {
            // Somebody in the middle could have put it there to be taken for encrypted data (CVE-2021-23214).
            connection.fatal(SqlError.protocolViolation("received unencrypted data after SSL request"));
            return;
        }
        encrypted = true;
        ctx.writeAndFlush(ctx.alloc().buffer(1).writeByte(ServerMessages.ACCEPT_TLS));
        ctx.pipeline().addFirst(connection.tls.server.newHandler(ctx.alloc()));
    }

    private void onGssEncRequest(ChannelHandlerContext ctx) {
        if (encrypted || gssRequested) {
            connection.fatal(SqlError.protocolViolation("unexpected GSSENCRequest"));
            return;
        }
        gssRequested = true;
        ctx.writeAndFlush(ctx.alloc().buffer(1).writeByte(ServerMessages.DECLINE));
    }

    /** The client is told nothing but the end of the connection, which comes when the request has been delivered. */
    private void onCancel(ChannelHandlerContext ctx, StartupPacket.CancelRequest cancel) {
        cancels = true;
        connection.gateway.cancel(cancel.processId(), cancel.secretKey()).whenComplete((found, failure) -> {
            if (failure != null || !found) {
                LOG.info(
                        "session {}: cancel request fits no session, remote={}{}",
                        connection.id,
                        ctx.channel().remoteAddress(),
                        failure == null ? "" : ", " + failure);
            }
            ctx.close();
        });
    }

    private void onStartup(ChannelHandlerContext ctx, StartupPacket.Startup startup) {
        if (!encrypted && !connection.gateway.settings().plaintext()) {
            connection.fatal(NO_TLS);
            return;
        }
        if (startup.minor() > 0 || !startup.protocolOptions().isEmpty()) {
            connection.send(out -> ServerMessages.negotiateProtocolVersion(out, startup.protocolOptions()));
        }
        LoginHandler login = new LoginHandler(connection, startup.parameters());
        ctx.pipeline().replace(this, "login", login);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) throws Exception {
        if (event instanceof SslHandshakeCompletionEvent handshake) {
            onHandshake(ctx, handshake);
        }
        super.userEventTriggered(ctx, event);
    }

    private void onHandshake(ChannelHandlerContext ctx, SslHandshakeCompletionEvent handshake) {
        if (!handshake.isSuccess()) {
            LOG.debug(
                    "session {}: TLS handshake failed, {}",
                    connection.id,
                    handshake.cause().toString());
            ctx.close();
        } else if (direct
                && !Protocol.ALPN.equals(ctx.pipeline().get(SslHandler.class).applicationProtocol())) {
            connection.fatal(SqlError.protocolViolation(
                    "received direct SSL connection request without ALPN protocol negotiation extension"));
        }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        LOG.debug("session {}: {}", connection.id, cause.toString());
        ctx.close();
    }
}
