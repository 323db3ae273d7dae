package io.spg99.cluster.cli;

import io.spg99.cluster.dev.DevPlatform;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code ./spg99 dev}. */
@Command(
        name = "dev",
        description = "Runs the whole platform in one process on local directories, on the loopback address only.",
        mixinStandardHelpOptions = true,
        sortOptions = false)
final class DevCommand implements Callable<Integer> {

    /** So that the printed commands stay the same. */
    private static final int CLUSTER_PORT = 17355;

    @Option(
            names = "--data",
            paramLabel = "DIR",
            defaultValue = ".spg99",
            description = "Where everything is kept (default: ${DEFAULT-VALUE}).")
    private Path data;

    @Option(
            names = "--http-port",
            paramLabel = "N",
            defaultValue = "8080",
            description = "HTTP API v2 and metrics (default: ${DEFAULT-VALUE}).")
    private int httpPort;

    @Option(
            names = "--gateway-port",
            paramLabel = "N",
            defaultValue = "6432",
            description = "The Gateway, for psql and drivers (default: ${DEFAULT-VALUE}).")
    private int gatewayPort;

    @Option(
            names = "--idle-timeout",
            paramLabel = "T",
            defaultValue = "5m",
            description = "When an unused database stops, if it has no timeout of its own: 30s, 5m, 1h, never"
                    + " (default: ${DEFAULT-VALUE}).")
    private String idleTimeout;

    @Option(
            names = "--safekeepers",
            paramLabel = "inside|external",
            defaultValue = "inside",
            description = "external: the three Safekeepers are processes of their own; how to start them is printed"
                    + " (default: ${DEFAULT-VALUE}).")
    private DevPlatform.Safekeepers safekeepers;

    @Option(
            names = "--cluster-port",
            paramLabel = "N",
            description = "Where nodes join (default: 17355 with external Safekeepers, else any).")
    private @Nullable Integer clusterPort;

    @Option(
            names = "--train",
            paramLabel = "ROUNDS",
            hidden = true,
            description = "Stop and wake the demo database some times, then end: the launcher's way to record classes.")
    private int train;

    @Option(names = "--reset", description = "Forget everything in DIR first.")
    private boolean reset;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() throws Exception {
        DevPlatform platform = DevPlatform.start(
                new DevPlatform.Options(data, httpPort, gatewayPort, safekeepers, clusterPort(), idleTimeout, reset),
                this::say);
        AtomicBoolean stopping = new AtomicBoolean();
        platform.stopAtJvmShutdown(() -> stopping.set(true));
        try {
            say(platform.open(this::say));
            if (train > 0) {
                platform.train(train);
                return 0;
            }
        } catch (IOException | RuntimeException e) {
            if (!stopping.get()) {
                throw e;
            }
        }
        platform.ended().toCompletableFuture().join();
        if (!stopping.get()) {
            throw new IOException("this node was excluded from its cluster; start it again");
        }
        return 0;
    }

    private int clusterPort() {
        if (clusterPort != null) {
            return clusterPort;
        }
        return safekeepers == DevPlatform.Safekeepers.EXTERNAL ? CLUSTER_PORT : 0;
    }

    private void say(String line) {
        PrintWriter out = spec.commandLine().getOut();
        out.println(line);
        out.flush();
    }
}
