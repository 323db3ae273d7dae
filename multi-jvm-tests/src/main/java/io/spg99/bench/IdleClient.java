package io.spg99.bench;

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import javax.crypto.Mac;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;
import org.jspecify.annotations.Nullable;

/** A client that logs in over TLS and asks something now and then: so small that ten thousand fit into one process. */
final class IdleClient extends ByteToMessageDecoder {

    private static final int HEADER_BYTES = 5;
    private static final int SASL = 10;
    private static final int SASL_CONTINUE = 11;

    /** Says who the client is; a nonce that is always the same would be no good idea elsewhere. */
    private static final String FIRST = "n=,r=idle";

    /** Made once for each salt. */
    private static final Map<String, byte[]> SALTED = new ConcurrentHashMap<>();

    private final String user;
    private final String database;
    private final String password;
    private CompletableFuture<IdleClient> ready = new CompletableFuture<>();
    private @Nullable Channel channel;

    private IdleClient(String user, String database, String password) {
        this.user = user;
        this.database = database;
        this.password = password;
    }

    /** Completes when it is logged in. */
    static CompletableFuture<IdleClient> connect(
            EventLoopGroup loops, SslContext tls, int port, String user, String database, String password) {
        IdleClient client = new IdleClient(user, database, password);
        CompletableFuture<IdleClient> ready = client.ready;
        new Bootstrap()
                .group(loops)
                .channel(NioSocketChannel.class)
                .handler(new ChannelInitializer<SocketChannel>() {
                    @Override
                    protected void initChannel(SocketChannel opened) {
                        client.channel = opened;
                        opened.pipeline().addLast(tls.newHandler(opened.alloc()), client);
                    }
                })
                .connect("127.0.0.1", port)
                .addListener(connected -> {
                    if (!connected.isSuccess()) {
                        ready.completeExceptionally(connected.cause());
                    }
                });
        return ready;
    }

    /** Runs one query; not while one is running. */
    CompletableFuture<IdleClient> ask(String sql) {
        Channel open = channel;
        if (open == null) {
            throw new IllegalStateException("not connected");
        }
        CompletableFuture<IdleClient> answered = new CompletableFuture<>();
        open.eventLoop().execute(() -> {
            ready = answered;
            send(open, 'Q', out -> string(out, sql));
        });
        return answered;
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) {
        if (event instanceof SslHandshakeCompletionEvent handshake && handshake.isSuccess()) {
            ByteBuf out = ctx.alloc().buffer();
            out.writeInt(0).writeInt(3 << 16);
            string(out, "user");
            string(out, user);
            string(out, "database");
            string(out, database);
            out.writeByte(0).setInt(0, out.readableBytes());
            ctx.writeAndFlush(out);
        }
    }

    @Override
    protected void decode(ChannelHandlerContext ctx, ByteBuf in, List<Object> out) throws GeneralSecurityException {
        int start = in.readerIndex();
        if (in.readableBytes() < HEADER_BYTES || in.readableBytes() <= in.getInt(start + 1)) {
            return;
        }
        char type = (char) in.readByte();
        ByteBuf body = in.readSlice(in.readInt() - 4);
        switch (type) {
            case 'R' -> onAuthentication(ctx.channel(), body);
            case 'Z' -> ready.complete(this);
            case 'E' ->
                ready.completeExceptionally(new IllegalStateException(
                        body.toString(StandardCharsets.UTF_8).replace('\0', ' ')));
            default -> {}
        }
    }

    private void onAuthentication(Channel to, ByteBuf body) throws GeneralSecurityException {
        int code = body.readInt();
        if (code == SASL) {
            byte[] data = ("n,," + FIRST).getBytes(StandardCharsets.UTF_8);
            send(to, 'p', out -> {
                string(out, "SCRAM-SHA-256");
                out.writeInt(data.length).writeBytes(data);
            });
        } else if (code == SASL_CONTINUE) {
            String challenge = body.toString(StandardCharsets.UTF_8);
            byte[] proof = proof(challenge).getBytes(StandardCharsets.UTF_8);
            send(to, 'p', out -> out.writeBytes(proof));
        }
    }

    private String proof(String challenge) throws GeneralSecurityException {
        String[] fields = challenge.split(",", 3);
        byte[] salted = SALTED.computeIfAbsent(challenge.substring(fields[0].length()), salt -> salted(fields));
        byte[] key = hmac(salted, "Client Key");
        String withoutProof = "c=biws," + fields[0];
        byte[] signature =
                hmac(MessageDigest.getInstance("SHA-256").digest(key), FIRST + "," + challenge + "," + withoutProof);
        for (int i = 0; i < key.length; i++) {
            key[i] ^= signature[i];
        }
        return withoutProof + ",p=" + Base64.getEncoder().encodeToString(key);
    }

    private byte[] salted(String[] fields) {
        byte[] salt = Base64.getDecoder().decode(fields[1].substring(2));
        int iterations = Integer.parseInt(fields[2].substring(2));
        try {
            return SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256")
                    .generateSecret(new PBEKeySpec(password.toCharArray(), salt, iterations, 256))
                    .getEncoded();
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    private static byte[] hmac(byte[] key, String data) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(data.getBytes(StandardCharsets.UTF_8));
    }

    private static void send(Channel to, char type, Consumer<ByteBuf> body) {
        ByteBuf out = to.alloc().buffer();
        out.writeByte(type).writeInt(0);
        body.accept(out);
        out.setInt(1, out.readableBytes() - 1);
        to.writeAndFlush(out);
    }

    private static void string(ByteBuf out, String text) {
        ByteBufUtil.writeUtf8(out, text);
        out.writeByte(0);
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        ready.completeExceptionally(new IllegalStateException("closed by the Gateway"));
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        ready.completeExceptionally(cause);
        ctx.close();
    }
}
