package io.spg99.nodes.safekeeper.serve;

import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerDomainSocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.spg99.storage.socket.UnixSocket;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.TimelineId;
import java.io.Closeable;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The WAL server of one Safekeeper: PostgreSQL's replication protocol over TLS with client certificates, or a Unix socket. */
public final class WalServer implements Closeable {

    /** Peers, new generations, standbys: a few for each of the timelines that are awake. */
    private static final int MOST_CONNECTIONS = 1024;

    private static final int THREADS = 2;

    private static final long STARTUP_SECONDS = 10;
    private static final WriteBufferWaterMark WRITE_BUFFER = new WriteBufferWaterMark(256 << 10, 1 << 20);
    private static final Logger LOG = LoggerFactory.getLogger(WalServer.class);

    private final EventLoopGroup group;
    private final Channel listener;
    private final Optional<Path> socket;

    private WalServer(EventLoopGroup group, Channel listener, Optional<Path> socket) {
        this.group = group;
        this.listener = listener;
        this.socket = socket;
    }

    /**
     * Listens on {@code host:port}; port 0 takes a free one.
     *
     * @param socket    Unix socket to listen on as well, in a directory that nobody but this user may enter; not used if its
     *                  path is too long for one
     * @param timelines finds what is served; called on the server's threads
     * @throws IOException if the address cannot be bound or the certificates cannot be read
     */
    public static WalServer bind(
            String host,
            int port,
            Optional<Path> socket,
            TlsIdentity identity,
            Function<TimelineId, Optional<ServedTimeline>> timelines)
            throws IOException {
        SslContext tls = SslContextBuilder.forServer(
                        identity.certificate().toFile(), identity.key().toFile())
                .trustManager(identity.ca().toFile())
                .clientAuth(ClientAuth.REQUIRE)
                .protocols("TLSv1.3", "TLSv1.2")
                .build();
        AtomicInteger connections = new AtomicInteger();
        EventLoopGroup group = new MultiThreadIoEventLoopGroup(THREADS, NioIoHandler.newFactory());
        ServerBootstrap bootstrap = new ServerBootstrap()
                .group(group)
                .channel(NioServerSocketChannel.class)
                .childOption(ChannelOption.TCP_NODELAY, true)
                .childOption(ChannelOption.SO_KEEPALIVE, true)
                .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK, WRITE_BUFFER)
                .childHandler(new ChannelInitializer<SocketChannel>() {
                    @Override
                    protected void initChannel(SocketChannel channel) {
                        StartupDeadline deadline = admit(channel, connections);
                        channel.pipeline()
                                .addLast(
                                        new TlsNegotiation(tls, pipeline -> addSession(pipeline, deadline, timelines)));
                    }
                });
        ServerBootstrap local = new ServerBootstrap()
                .group(group)
                .channel(NioServerDomainSocketChannel.class)
                .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK, WRITE_BUFFER)
                .childHandler(new ChannelInitializer<Channel>() {
                    @Override
                    protected void initChannel(Channel channel) {
                        addSession(channel.pipeline(), admit(channel, connections), timelines);
                    }
                });
        try {
            Channel listener = bootstrap.bind(host, port).syncUninterruptibly().channel();
            Optional<Path> usable = socket.filter(UnixSocket::fits);
            if (usable.isPresent()) {
                Files.deleteIfExists(usable.get());
                local.bind(UnixDomainSocketAddress.of(usable.get())).syncUninterruptibly();
            }
            return new WalServer(group, listener, usable);
        } catch (RuntimeException e) {
            group.shutdownGracefully(0, 1, TimeUnit.SECONDS);
            throw e;
        } catch (Exception e) {
            // Netty throws the bind's IOException undeclared.
            group.shutdownGracefully(0, 1, TimeUnit.SECONDS);
            throw new IOException("cannot listen: host=" + host + " port=" + port + ": " + e.getMessage(), e);
        }
    }

    /** Closes the channel at once if there are too many, and later if it does not say what it wants. */
    private static StartupDeadline admit(Channel channel, AtomicInteger connections) {
        channel.closeFuture().addListener(closed -> connections.decrementAndGet());
        StartupDeadline deadline = new StartupDeadline(STARTUP_SECONDS);
        channel.pipeline().addLast(deadline);
        if (connections.incrementAndGet() > MOST_CONNECTIONS) {
            LOG.warn("WAL client {} refused: connections={}", channel.remoteAddress(), MOST_CONNECTIONS);
            channel.close();
        }
        return deadline;
    }

    private static void addSession(
            ChannelPipeline pipeline,
            StartupDeadline deadline,
            Function<TimelineId, Optional<ServedTimeline>> timelines) {
        pipeline.addLast(new FrontendDecoder(), deadline.end(), new WalSession(timelines));
    }

    /** The Unix socket, if there is one. */
    public Optional<Path> socket() {
        return socket;
    }

    public int port() {
        return ((InetSocketAddress) listener.localAddress()).getPort();
    }

    @Override
    public void close() {
        listener.close();
        group.shutdownGracefully(0, 2, TimeUnit.SECONDS);
    }
}
