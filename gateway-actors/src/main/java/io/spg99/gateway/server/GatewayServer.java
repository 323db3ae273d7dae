package io.spg99.gateway.server;

import io.micrometer.core.instrument.MeterRegistry;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFactory;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.ServerSocketChannel;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.util.concurrent.Future;
import io.spg99.gateway.cancel.CancelRelay;
import io.spg99.gateway.lease.DatabaseLeases;
import io.spg99.gateway.lease.GatewayRegistry;
import io.spg99.gateway.lease.LeaseMetrics;
import io.spg99.gateway.lease.LeaseSettings;
import io.spg99.gateway.login.LoginBackoff;
import io.spg99.gateway.login.MockVerifiers;
import io.spg99.gateway.login.TenantDirectory;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.pekko.Done;
import org.apache.pekko.actor.Cancellable;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.DispatcherSelector;
import org.apache.pekko.actor.typed.Props;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A running Gateway: the listener, its event loops, and the actors that hold its leases. */
public final class GatewayServer {

    private static final Logger LOG = LoggerFactory.getLogger(GatewayServer.class);

    /** Bytes written but not taken by a peer, at which reading from the other side stops, and resumes. */
    static final WriteBufferWaterMark WATER_MARK = new WriteBufferWaterMark(64 * 1024, 256 * 1024);

    /** Connections the kernel keeps for us while the loops are busy. */
    private static final int BACKLOG = 1_024;

    private final MultiThreadIoEventLoopGroup loops;
    private final GatewayContext context;
    private final Channel listener;
    private final ActorRef<CancelRelay.Command> cancels;
    /** Looks for other certificates, again and again. */
    private final Cancellable reload;

    private final AtomicBoolean stopping = new AtomicBoolean();
    private final CompletableFuture<Done> stopped = new CompletableFuture<>();

    private GatewayServer(
            MultiThreadIoEventLoopGroup loops,
            GatewayContext context,
            Channel listener,
            ActorRef<CancelRelay.Command> cancels,
            Cancellable reload) {
        this.cancels = cancels;
        this.reload = reload;
        this.loops = loops;
        this.context = context;
        this.listener = listener;
    }

    /**
     * Reads the certificates and listens. Fails with an {@link IOException} that says what to do if a file cannot be used or
     * the port is taken.
     */
    public static CompletionStage<GatewayServer> start(
            ActorSystem<?> system,
            GatewaySettings settings,
            TenantDirectory tenants,
            DatabaseLeases databases,
            MeterRegistry metrics) {
        boolean epoll = Epoll.isAvailable();
        IoHandlerFactory io = epoll ? EpollIoHandler.newFactory() : NioIoHandler.newFactory();
        int threads = settings.ioThreads() > 0
                ? settings.ioThreads()
                : Runtime.getRuntime().availableProcessors();
        MultiThreadIoEventLoopGroup loops = new MultiThreadIoEventLoopGroup(threads, io);
        CompletableFuture<GatewayServer> started = new CompletableFuture<>();
        loops.execute(() -> {
            try {
                CurrentTls tls = CurrentTls.load(settings.tls());
                listen(system, DescriptorLimit.apply(settings), tenants, databases, metrics, loops, tls, started);
            } catch (IOException | RuntimeException e) {
                started.completeExceptionally(e);
            }
        });
        started.whenComplete((server, failure) -> {
            if (failure != null) {
                loops.shutdownGracefully(0, 1, TimeUnit.SECONDS);
            }
        });
        return started;
    }

    private static void listen(
            ActorSystem<?> system,
            GatewaySettings settings,
            TenantDirectory tenants,
            DatabaseLeases databases,
            MeterRegistry metrics,
            MultiThreadIoEventLoopGroup loops,
            CurrentTls tls,
            CompletableFuture<GatewayServer> started) {
        String name = "gateway-" + UUID.randomUUID();
        LeaseSettings leaseSettings = new LeaseSettings(
                name, settings.times().acquireRetry(), settings.times().backendReconnect());
        ActorRef<GatewayRegistry.Command> registry = system.systemActorOf(
                GatewayRegistry.create(leaseSettings, databases, new LeaseMetrics(metrics)), name, Props.empty());
        SecureRandom random = new SecureRandom();
        MockVerifiers mocks = new MockVerifiers(random);
        WarmUp.run(tls.get(), settings, mocks);
        boolean epoll = Epoll.isAvailable();
        ChannelFactory<SocketChannel> sockets = epoll ? EpollSocketChannel::new : NioSocketChannel::new;
        ChannelFactory<ServerSocketChannel> listeners =
                epoll ? EpollServerSocketChannel::new : NioServerSocketChannel::new;
        GatewayContext context = new GatewayContext(
                system,
                settings,
                tls,
                tenants,
                mocks,
                new LoginBackoff(settings.backoff(), System::nanoTime),
                registry,
                new GatewayMetrics(metrics),
                new CancelKeys(random),
                random,
                sockets,
                epoll ? Optional.of(EpollDomainSocketChannel::new) : Optional.empty(),
                ConcurrentHashMap.newKeySet(),
                new AtomicInteger(),
                new AtomicInteger(),
                new AtomicLong(),
                new ServerPools(() -> (EventLoop) loops.next()));
        context.metrics().countIdle(metrics, context.pools());
        ActorRef<CancelRelay.Command> cancels = system.systemActorOf(
                CancelRelay.create(context.cancelKeys().tag(), context::cancelHere), name + "-cancels", Props.empty());
        new ServerBootstrap()
                .group(loops)
                .channelFactory(listeners)
                .option(ChannelOption.SO_BACKLOG, BACKLOG)
                .option(ChannelOption.SO_REUSEADDR, true)
                .childOption(ChannelOption.TCP_NODELAY, true)
                .childOption(ChannelOption.SO_KEEPALIVE, true)
                .childOption(ChannelOption.ALLOCATOR, PooledByteBufAllocator.DEFAULT)
                .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK, WATER_MARK)
                .childHandler(new ClientInitializer(context))
                .bind(settings.host(), settings.port())
                .addListener(bound -> {
                    if (bound.isSuccess()) {
                        Duration again = settings.tls().reloadInterval();
                        Cancellable reload = system.scheduler()
                                .scheduleWithFixedDelay(
                                        again,
                                        again,
                                        tls::check,
                                        system.dispatchers().lookup(DispatcherSelector.blocking()));
                        GatewayServer server =
                                new GatewayServer(loops, context, ((ChannelFuture) bound).channel(), cancels, reload);
                        LOG.info(
                                "Gateway {} listens on {}:{}, TLS by {}, {}",
                                name,
                                settings.host(),
                                server.port(),
                                TlsContexts.provider(),
                                epoll ? "epoll" : "NIO");
                        started.complete(server);
                    } else {
                        cancels.tell(CancelRelay.Stop.INSTANCE);
                        registry.tell(new GatewayRegistry.Stop(() -> {}));
                        started.completeExceptionally(new IOException(
                                "the Gateway cannot listen on " + settings.host() + ":" + settings.port()
                                        + "; choose another port or stop the program that uses it",
                                bound.cause()));
                    }
                });
    }

    /** The port it listens on. */
    public int port() {
        return ((InetSocketAddress) listener.localAddress()).getPort();
    }

    /**
     * Stops accepting, tells every session, and ends when all connections are closed; those that are not after the timeout
     * are cut. A second call waits for the first.
     */
    public CompletionStage<Done> stop(Duration timeout) {
        if (!stopping.compareAndSet(false, true)) {
            return stopped;
        }
        reload.cancel();
        cancels.tell(CancelRelay.Stop.INSTANCE);
        listener.close().addListener(closed -> {
            context.connections().forEach(ClientConnection::shutdown);
            long deadline = System.nanoTime() + timeout.toNanos();
            awaitClosed(deadline);
        });
        return stopped;
    }

    private void awaitClosed(long deadline) {
        boolean late = System.nanoTime() - deadline >= 0;
        if (late) {
            context.connections().forEach(connection -> connection.channel.close());
        }
        if (late || context.connections().isEmpty()) {
            // In case the actor system is gone already and nobody answers the Stop.
            loops.schedule(this::stopLoops, 1, TimeUnit.SECONDS);
            context.registry().tell(new GatewayRegistry.Stop(this::stopLoops));
        } else {
            loops.schedule(() -> awaitClosed(deadline), 20, TimeUnit.MILLISECONDS);
        }
    }

    private void stopLoops() {
        Future<?> ended = loops.shutdownGracefully(0, 2, TimeUnit.SECONDS);
        ended.addListener(done -> stopped.complete(Done.getInstance()));
    }
}
