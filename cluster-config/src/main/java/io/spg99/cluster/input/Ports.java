package io.spg99.cluster.input;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;

/** Ports that a user chose. */
public final class Ports {

    private Ports() {}

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
