package io.spg99.bench;

import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.handler.ssl.ApplicationProtocolConfig;
import io.netty.handler.ssl.OpenSsl;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import io.netty.handler.ssl.util.InsecureTrustManagerFactory;
import io.spg99.cluster.pki.PlatformPki;
import io.spg99.tests.process.LocalPostgres;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** What idle clients with TLS cost the Gateway's process: its resident memory empty, with all logged in, and after each has run a query. */
@Command(
        name = "clients",
        description = "Memory of the Gateway with many idle TLS clients.",
        mixinStandardHelpOptions = true)
final class ClientsBench extends Benchmark {

    /** Clients that log in, or ask, at one time. */
    private static final int AT_ONCE = 32;

    private static final int LIMIT_SECONDS = 60;
    private static final double KIB_PER_MIB = 1024;

    @Option(names = "--clients", defaultValue = "10000", description = "Clients (default: ${DEFAULT-VALUE}).")
    private int clients;

    @Override
    void measure(Path directory) throws Exception {
        try (LocalPostgres server = LocalPostgres.create(directory.resolve("server"))) {
            PlatformPki.open(directory.resolve("pki"), Clock.systemUTC()).gatewayServer(List.of("127.0.0.1"));
            server.start();
            Process gateway = GatewayBench.startGateway(server, directory.resolve("pki"));
            EventLoopGroup loops = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
            try {
                measure(gateway, GatewayBench.port(gateway), loops);
            } finally {
                gateway.destroyForcibly();
                loops.shutdownGracefully(0, 1, TimeUnit.SECONDS);
            }
        }
    }

    private void measure(Process gateway, int port, EventLoopGroup loops) throws Exception {
        SslContext tls = SslContextBuilder.forClient()
                .trustManager(InsecureTrustManagerFactory.INSTANCE)
                .endpointIdentificationAlgorithm(null)
                .sslProvider(OpenSsl.isAvailable() ? SslProvider.OPENSSL : SslProvider.JDK)
                .applicationProtocolConfig(new ApplicationProtocolConfig(
                        ApplicationProtocolConfig.Protocol.ALPN,
                        ApplicationProtocolConfig.SelectorFailureBehavior.NO_ADVERTISE,
                        ApplicationProtocolConfig.SelectedListenerFailureBehavior.ACCEPT,
                        "postgresql"))
                .build();
        Supplier<CompletableFuture<IdleClient>> login = () ->
                IdleClient.connect(loops, tls, port, GatewayBench.USER, GatewayBench.DATABASE, GatewayBench.PASSWORD);
        login.get().get(LIMIT_SECONDS, TimeUnit.SECONDS).ask("SELECT 1").get(LIMIT_SECONDS, TimeUnit.SECONDS);
        double empty = residentMib(gateway);
        System.out.printf("%-44s %8.1f MiB%n", "one client", empty);

        List<IdleClient> all =
                all(Stream.generate(() -> login).limit(clients - 1).toList());
        print("all %d logged in".formatted(clients), gateway, empty);
        all(all.stream()
                .<Supplier<CompletableFuture<IdleClient>>>map(client -> () -> client.ask("SELECT 1"))
                .toList());
        print("after a query of each", gateway, empty);
    }

    private static List<IdleClient> all(List<Supplier<CompletableFuture<IdleClient>>> tasks)
            throws InterruptedException, ExecutionException {
        Semaphore turns = new Semaphore(AT_ONCE);
        List<CompletableFuture<IdleClient>> begun = new ArrayList<>();
        for (Supplier<CompletableFuture<IdleClient>> task : tasks) {
            turns.acquire();
            CompletableFuture<IdleClient> future = task.get();
            begun.add(future.whenComplete((client, failure) -> turns.release()));
        }
        List<IdleClient> done = new ArrayList<>();
        for (CompletableFuture<IdleClient> future : begun) {
            done.add(future.get());
        }
        return done;
    }

    private static void print(String what, Process gateway, double empty) throws IOException {
        double now = residentMib(gateway);
        System.out.printf("%-44s %8.1f MiB, %.1f above%n", what, now, now - empty);
    }

    private static double residentMib(Process process) throws IOException {
        String line = Files.readAllLines(Path.of("/proc/" + process.pid() + "/status")).stream()
                .filter(status -> status.startsWith("VmRSS:"))
                .findFirst()
                .orElseThrow();
        return Long.parseLong(line.replaceAll("\\D", "")) / KIB_PER_MIB;
    }
}
