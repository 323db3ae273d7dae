package io.spg99.cluster.input;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.util.HashMap;
import java.util.Map;

/** Ports that a user chose. */
public final class Ports {

    private Ports() {}

    /**
     * @param ports by the command line option they came from; those that are 0 are any free one
     * @throws UserError if two are the same
     */
    public static void requireDifferent(Map<String, Integer> ports) {
        Map<Integer, String> seen = new HashMap<>();
        ports.forEach((option, port) -> {
            String other = port == 0 ? null : seen.put(port, option);
            if (other != null) {
                throw new UserError(
                        "%s and %s are both %d: give each a port of its own".formatted(other, option, port));
            }
        });
    }

    /**
     * Fails early, and with a better message than whoever binds the port later.
     *
     * @param port   0 for any free one
     * @param option the command line option it came from
     * @return the port, chosen if it was 0
     */
    public static int requireFree(String host, int port, String option) {
        try (ServerSocket socket = new ServerSocket()) {
            socket.setReuseAddress(true);
            socket.bind(new InetSocketAddress(host, port));
            return socket.getLocalPort();
        } catch (IOException | IllegalArgumentException e) {
            throw new UserError("port %d is in use or not allowed: stop what uses it, or choose another with %s N"
                    .formatted(port, option));
        }
    }
}
