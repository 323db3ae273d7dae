package io.spg99.cluster.cli;

import io.spg99.cluster.input.Ports;
import io.spg99.cluster.input.UserError;
import io.spg99.cluster.node.GenerationHome;
import io.spg99.cluster.node.GenerationNodeSettings;
import io.spg99.cluster.node.MemberSettings;
import io.spg99.cluster.node.PartNode;
import io.spg99.cluster.node.Role;
import io.spg99.cluster.node.SafekeeperHome;
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
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code ./spg99 node}. */
@Command(
        name = "node",
        description = {
            "Runs one member of a cluster on this machine: a Safekeeper of a platform that runs as 'spg99 dev --safekeepers",
            "external', which prints the commands to use; or a node to which writers of 'spg99 dev --cluster-port N' move when",
            "their profile changes."
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
            description = "What it does: safekeeper or generation. Every other role runs in 'spg99 dev' only.")
    private List<String> roles = List.of();

    @Option(
            names = "--safekeeper-id",
            paramLabel = "ID",
            description = "Which of the three Safekeepers it is: sk1, sk2 or sk3.")
    private String safekeeperId = "";

    @Option(
            names = "--data",
            paramLabel = "DIR",
            required = true,
            description = "Its own directory, for WAL or PostgreSQL's files, and logs; made if it is not there.")
    private Path data = Path.of("");

    @Option(
            names = "--pki",
            paramLabel = "DIR",
            required = true,
            description = "The platform's certificate authority: the directory pki in the data directory of dev.")
    private Path pki = Path.of("");

    @Option(
            names = "--objects",
            paramLabel = "DIR",
            description = "For generations: the object storage of dev (default: the directory objects beside --pki).")
    private @Nullable Path objects;

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
        Role role = checkedRole();
        checkMember();
        if (!Files.isRegularFile(pki.resolve("ca.crt"))) {
            throw new UserError(
                    "%s holds no certificate authority: name the directory pki in the data directory of dev with --pki DIR, after dev has been started"
                            .formatted(pki.toAbsolutePath().normalize()));
        }
        MemberSettings member = new MemberSettings(Set.of(role), host, port, seeds);
        try {
            if (role == Role.GENERATION) {
                runGenerations(member);
            } else {
                runSafekeeper(member);
            }
        } catch (IOException e) {
            throw new UserError("a node of role %s cannot run: %s"
                    .formatted(role.word(), e.getMessage() == null ? e : e.getMessage()));
        }
        return 0;
    }

    private void runSafekeeper(MemberSettings member) throws IOException {
        SafekeeperId id = checkedId();
        Path root = SafekeeperHome.open(data, id);
        // Before the first logger is made.
        System.setProperty("spg99.log.dir", SafekeeperHome.logs(root).toString());
        PartNode.start(new SafekeeperNodeSettings(member, id, root, pki, walPort, tcpOnly), this::say)
                .run();
    }

    private void runGenerations(MemberSettings member) throws IOException {
        try (GenerationHome home = GenerationHome.open(data)) {
            System.setProperty("spg99.log.dir", home.logs().toString());
            Path storage = objects != null ? objects : pki.resolveSibling("objects");
            PartNode.start(new GenerationNodeSettings(member, home.postgres(), pki, storage), this::say)
                    .run();
        }
    }

    private void say(String line) {
        if (spec != null) {
            PrintWriter out = spec.commandLine().getOut();
            out.println(line);
            out.flush();
        }
    }

    private Role checkedRole() {
        return Stream.of(Role.SAFEKEEPER, Role.GENERATION)
                .filter(role -> roles.equals(List.of(role.word())))
                .findFirst()
                .orElseThrow(() -> new UserError(
                        "--roles %s: only the role safekeeper, or generation, runs by itself for now; use dev"
                                .formatted(String.join(",", roles))));
    }

    private SafekeeperId checkedId() {
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
