package io.spg99.cluster.cli;

import io.spg99.cluster.input.Ports;
import io.spg99.cluster.input.UserError;
import io.spg99.cluster.node.MemberSettings;
import io.spg99.cluster.node.Role;
import io.spg99.cluster.node.SafekeeperHome;
import io.spg99.cluster.node.SafekeeperNode;
import io.spg99.cluster.node.SafekeeperNodeSettings;
import io.spg99.storage.safekeeper.SafekeeperId;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code ./spg99 node}. */
@Command(
        name = "node",
        description = {
            "Runs one member of a cluster; for now, a Safekeeper of a platform that runs as",
            "'spg99 dev --safekeepers external' on this machine, which prints the commands to use."
        },
        mixinStandardHelpOptions = true,
        sortOptions = false)
final class NodeCommand implements Callable<Integer> {

    private static final Pattern SEED = Pattern.compile("[^:@/\\s]+:[0-9]{1,5}");

    @Option(
            names = "--roles",
            paramLabel = "ROLE",
            split = ",",
            required = true,
            description = "What it does: safekeeper. Every other role runs in 'spg99 dev' only.")
    private List<String> roles = List.of();

    @Option(
            names = "--safekeeper-id",
            paramLabel = "ID",
            required = true,
            description = "Which of the three Safekeepers it is: sk1, sk2 or sk3.")
    private String safekeeperId = "";

    @Option(
            names = "--data",
            paramLabel = "DIR",
            required = true,
            description = "Its own directory, for WAL and logs; made if it is not there.")
    private Path data = Path.of("");

    @Option(
            names = "--pki",
            paramLabel = "DIR",
            required = true,
            description = "The platform's certificate authority: the directory pki in the data directory of dev.")
    private Path pki = Path.of("");

    @Option(
            names = "--seeds",
            paramLabel = "HOST:PORT",
            split = ",",
            required = true,
            description = "Members of the cluster to join; waits until one answers.")
    private List<String> seeds = List.of();

    @Option(
            names = "--host",
            paramLabel = "ADDRESS",
            defaultValue = "127.0.0.1",
            description =
                    "Address it listens on and is reached at, of the loopback interface (default: ${DEFAULT-VALUE}).")
    private String host = "";

    @Option(
            names = "--port",
            paramLabel = "N",
            defaultValue = "0",
            description = "Its port in the cluster, 0 for any (default: ${DEFAULT-VALUE}).")
    private int port;

    @Option(
            names = "--wal-port",
            paramLabel = "N",
            defaultValue = "0",
            description =
                    "Where it serves WAL to computes and other Safekeepers, 0 for any (default: ${DEFAULT-VALUE}).")
    private int walPort;

    @Option(
            names = "--tcp-only",
            description = "Reaches computes and other Safekeepers by TCP even if it finds their Unix sockets.")
    private boolean tcpOnly;

    @Spec
    private @Nullable CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        SafekeeperId id = checkedId();
        checkMember();
        if (!Files.isRegularFile(pki.resolve("ca.crt"))) {
            throw new UserError(
                    "%s holds no certificate authority: name the directory pki in the data directory of dev with --pki DIR, after dev has been started"
                            .formatted(pki.toAbsolutePath().normalize()));
        }
        Path root = SafekeeperHome.open(data, id);
        // Before the first logger is made.
        System.setProperty("spg99.log.dir", SafekeeperHome.logs(root).toString());
        start(new SafekeeperNodeSettings(
                        new MemberSettings(Set.of(Role.SAFEKEEPER), host, port, seeds),
                        id,
                        root,
                        pki,
                        walPort,
                        tcpOnly))
                .run();
        return 0;
    }

    private SafekeeperNode start(SafekeeperNodeSettings settings) {
        try {
            return SafekeeperNode.start(settings, this::say);
        } catch (IOException e) {
            throw new UserError("Safekeeper %s cannot start: %s"
                    .formatted(settings.id(), e.getMessage() == null ? e : e.getMessage()));
        }
    }

    private void say(String line) {
        if (spec != null) {
            PrintWriter out = spec.commandLine().getOut();
            out.println(line);
            out.flush();
        }
    }

    private SafekeeperId checkedId() {
        if (!roles.equals(List.of(Role.SAFEKEEPER.word()))) {
            throw new UserError("--roles %s: only the role safekeeper runs by itself for now; use dev"
                    .formatted(String.join(",", roles)));
        }
        return SafekeeperId.ALL.stream()
                .filter(id -> id.value().equals(safekeeperId))
                .findFirst()
                .orElseThrow(
                        () -> new UserError("--safekeeper-id %s: must be sk1, sk2 or sk3".formatted(safekeeperId)));
    }

    private void checkMember() {
        if (!isLoopback(host)) {
            throw new UserError(
                    "--host %s: must be a loopback address, as the cluster's own traffic is not encrypted yet"
                            .formatted(host));
        }
        for (String seed : seeds) {
            if (!SEED.matcher(seed).matches()) {
                throw new UserError("--seeds %s: must be HOST:PORT[,HOST:PORT]".formatted(seed));
            }
        }
        Ports.requireFree(host, port, "--port");
        Ports.requireFree(host, walPort, "--wal-port");
    }

    private static boolean isLoopback(String host) {
        try {
            return InetAddress.getByName(host).isLoopbackAddress();
        } catch (UnknownHostException e) {
            return false;
        }
    }
}
