package io.spg99.bench;

import com.typesafe.config.ConfigFactory;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.spg99.cluster.pki.PlatformPki;
import io.spg99.gateway.lease.DatabaseLeases;
import io.spg99.gateway.lease.LeaseCommand;
import io.spg99.gateway.lease.LeaseEvent;
import io.spg99.gateway.lease.WriterLocation;
import io.spg99.gateway.login.PoolMode;
import io.spg99.gateway.login.ScramVerifier;
import io.spg99.gateway.login.TenantDirectory;
import io.spg99.gateway.server.GatewayServer;
import io.spg99.gateway.server.GatewaySettings;
import io.spg99.storage.tls.TlsIdentity;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** A Gateway alone, before one PostgreSQL that is always there: so that its CPU time can be told apart. */
@Command(name = "gateway-process", hidden = true, description = "The Gateway that 'bench gateway' measures.")
final class GatewayProcess implements Runnable {

    /** Followed by the port it listens on. */
    static final String READY = "gateway_port=";

    private static final String DATABASE_ID = "bench";
    private static final Duration TTL = Duration.ofHours(1);

    @Option(names = "--pki", required = true, description = "Directory of the certificates.")
    private Path pki;

    @Option(names = "--socket", required = true, description = "Unix socket of PostgreSQL.")
    private String socket;

    @Option(names = "--user", required = true, description = "Role to log in as.")
    private String user;

    @Option(names = "--password", required = true, description = "Password that clients have to know.")
    private String password;

    @Option(names = "--connections", required = true, description = "Server connections.")
    private int connections;

    /** Returns at once; the listener keeps the process. */
    @Override
    public void run() {
        try {
            GatewayServer server = GatewayServer.start(
                            ActorSystem.create(Behaviors.empty(), "bench", ConfigFactory.load()),
                            settings().withPlaintext(),
                            directory(),
                            leases(),
                            new SimpleMeterRegistry())
                    .toCompletableFuture()
                    .join();
            System.out.println(READY + server.port() + ";");
            System.in.read(); // until the benchmark ends
        } catch (IOException e) {
            throw new IllegalStateException("the Gateway did not start: " + e.getMessage(), e);
        }
    }

    private GatewaySettings settings() throws IOException {
        PlatformPki platform = PlatformPki.open(pki, Clock.systemUTC());
        TlsIdentity server = platform.gatewayServer(List.of("127.0.0.1"));
        TlsIdentity client = platform.internal(TlsIdentity.GATEWAY);
        Map<String, Object> own = Map.of(
                "port", 0,
                "pool.size", connections,
                "tls.server-certificate", server.certificate().toString(),
                "tls.server-key", server.key().toString(),
                "tls.client-certificate", client.certificate().toString(),
                "tls.client-key", client.key().toString(),
                "tls.backend-ca", client.ca().toString());
        return GatewaySettings.from(
                ConfigFactory.parseMap(own).withFallback(ConfigFactory.load().getConfig("spg99.gateway")));
    }

    private TenantDirectory directory() {
        String verifier = ScramVerifier.of(
                        password, "of the bench".getBytes(StandardCharsets.US_ASCII), ScramVerifier.DEFAULT_ITERATIONS)
                .toStored();
        TenantDirectory.Tenant tenant = new TenantDirectory.Tenant(
                user,
                verifier,
                Map.of(GatewayBench.DATABASE, new TenantDirectory.Database(DATABASE_ID, PoolMode.TRANSACTION)));
        return name -> CompletableFuture.completedFuture(name.equals(user) ? Optional.of(tenant) : Optional.empty());
    }

    private DatabaseLeases leases() {
        WriterLocation writer = new WriterLocation("127.0.0.1", 1, Optional.of(socket));
        return (databaseId, command) -> {
            if (command instanceof LeaseCommand.Acquire acquire) {
                acquire.replyTo().tell(new LeaseEvent.Granted(2, writer, TTL, connections));
            }
        };
    }
}
