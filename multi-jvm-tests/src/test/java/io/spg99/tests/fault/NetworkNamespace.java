package io.spg99.tests.fault;

import io.spg99.tests.process.Program;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * A Linux network namespace with one cable to the machine's own, which can be cut in the kernel: packets are lost, and both
 * ends go on believing in their connections. A {@link Forwarder} in there is the way to a {@link FaultyLink} out here.
 */
final class NetworkNamespace implements AutoCloseable {

    private static final int PORT = 1080;

    private final String name;
    private final String hereAddress;
    private final String thereAddress;
    private final Process forwarder;

    private NetworkNamespace(String name, int subnet, Process forwarder) {
        this.name = name;
        this.hereAddress = here(subnet);
        this.thereAddress = there(subnet);
        this.forwarder = forwarder;
    }

    private static String here(int subnet) {
        return "10.99." + subnet + ".1";
    }

    private static String there(int subnet) {
        return "10.99." + subnet + ".2";
    }

    /** Whether this process may make one. */
    static boolean allowed() {
        String name = "spg99probe" + ProcessHandle.current().pid();
        return Program.succeeds("ip", "netns", "add", name) && Program.succeeds("ip", "netns", "delete", name);
    }

    /** @param target Unix socket to which connections are led */
    static NetworkNamespace open(Path target) throws IOException {
        int subnet = (int) (ProcessHandle.current().pid() % 250) + 1;
        String name = "spg99t" + subnet;
        ip("netns", "add", name);
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name);
        ip("address", "add", here(subnet) + "/30", "dev", name);
        ip("link", "set", name, "up");
        ip("-n", name, "address", "add", there(subnet) + "/30", "dev", "eth0");
        ip("-n", name, "link", "set", "eth0", "up");
        List<String> command = new ArrayList<>(List.of("ip", "netns", "exec", name));
        command.addAll(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx64m",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                Forwarder.class.getName(),
                there(subnet),
                String.valueOf(PORT),
                target.toString()));
        Process forwarder =
                new ProcessBuilder(command).redirectErrorStream(true).start();
        NetworkNamespace made = new NetworkNamespace(name, subnet, forwarder);
        BufferedReader output = forwarder.inputReader();
        String line = output.readLine();
        if (!"listens".equals(line)) {
            made.close();
            throw new IOException("the forwarder does not start: " + line);
        }
        return made;
    }

    /** Where the link is found. */
    InetSocketAddress address() {
        return new InetSocketAddress(thereAddress, PORT);
    }

    /** No packet passes in either direction. */
    void cut() throws IOException {
        ip("link", "set", name, "down");
    }

    /** No packet comes out of it. */
    void cutOutgoing() throws IOException {
        ip("-n", name, "route", "add", "blackhole", hereAddress + "/32");
    }

    /** No packet goes into it. */
    void cutIncoming() throws IOException {
        ip("route", "add", "blackhole", thereAddress + "/32");
    }

    /** 2 kB a second go into it: a few packets wait their turn, the rest is lost. */
    void squeeze() throws IOException {
        run("tc", "qdisc", "add", "dev", name, "root", "tbf", "rate", "16kbit", "burst", "1600", "limit", "3200");
    }

    void heal() throws IOException {
        Program.succeeds("tc", "qdisc", "delete", "dev", name, "root");
        Program.succeeds("ip", "route", "delete", "blackhole", thereAddress + "/32");
        Program.succeeds("ip", "-n", name, "route", "delete", "blackhole", hereAddress + "/32");
        ip("link", "set", name, "up");
    }

    @Override
    public void close() throws IOException {
        Program.succeeds("ip", "route", "delete", "blackhole", thereAddress + "/32");
        forwarder.destroyForcibly();
        // By itself the cable goes some time after the namespace: the next one of that name could not be made.
        Program.succeeds("ip", "link", "delete", name);
        ip("netns", "delete", name);
    }

    private static void ip(String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of("ip"));
        command.addAll(List.of(arguments));
        run(command.toArray(String[]::new));
    }

    private static void run(String... command) throws IOException {
        if (!Program.succeeds(command)) {
            throw new IOException("failed: " + String.join(" ", command));
        }
    }
}
