package io.spg99.cluster.cli;

import io.spg99.cluster.dev.DevPlatform;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
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

    @Option(names = "--reset", description = "Forget everything in DIR first.")
    private boolean reset;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() throws Exception {
        PrintWriter out = spec.commandLine().getOut();
        DevPlatform platform =
                DevPlatform.start(new DevPlatform.Options(data, httpPort, gatewayPort, idleTimeout, reset), step -> {
                    out.println(step);
                    out.flush();
                });
        CountDownLatch stopped = new CountDownLatch(1);
        // SIGINT and SIGTERM run this hook; the JVM ends when it returns.
        Runtime.getRuntime()
                .addShutdownHook(new Thread(
                        () -> {
                            platform.stop();
                            stopped.countDown();
                        },
                        "stop"));
        out.println(platform.welcome());
        out.flush();
        stopped.await();
        return 0;
    }
}
