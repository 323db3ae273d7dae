package io.spg99.gateway.server;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.spg99.gateway.login.PoolMode;
import java.nio.file.Path;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;

/** A Gateway in a process of its own, whose databases never wake. Ends with its standard input. */
final class GatewayProcess {

    /** Followed by the port. */
    static final String READY = "gateway listens on ";

    private GatewayProcess() {}

    /** @param arguments a directory for its certificates */
    public static void main(String[] arguments) throws Exception {
        TestCertificates certificates = new TestCertificates(Path.of(arguments[0]));
        GatewayServer server = GatewayServer.start(
                        ActorTestKit.create().system(),
                        GatewayFixture.settings(certificates, "wake-timeout = 10m, wake-notice-after = 10m"),
                        GatewayFixture.oneTenant(PoolMode.TRANSACTION),
                        (database, command) -> {},
                        new SimpleMeterRegistry())
                .toCompletableFuture()
                .join();
        System.out.println(READY + server.port());
        while (System.in.read() >= 0) {}
        Runtime.getRuntime().halt(0);
    }
}
