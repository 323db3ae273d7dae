package io.spg99.storage.replication;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.socket.UnixSocket;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.SocketTimeoutException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ProbedSocketTest {

    /** With the millisecond that is asked for each, they would take twice what is allowed. */
    private static final int PROBES = 20_000;

    private static final Duration LIMIT = Duration.ofSeconds(10);

    @Test
    void givenTcp_whenPgJdbcLooksForMore_thenNothingIsWaitedForAndNothingIsMissed() throws Exception {
        try (ServerSocketChannel server =
                        ServerSocketChannel.open().bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
                Socket socket = new ProbedSocket()) {
            probe(server, socket, server.getLocalAddress());
        }
    }

    @Test
    void givenAUnixSocket_whenPgJdbcLooksForMore_thenNothingIsWaitedForAndNothingIsMissed(@TempDir Path directory)
            throws Exception {
        Path path = directory.resolve("s");
        try (ServerSocketChannel server =
                        ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of(path));
                Socket socket = new UnixSocket(path)) {
            probe(server, socket, new InetSocketAddress(0));
        }
    }

    private static void probe(ServerSocketChannel server, Socket socket, SocketAddress address) throws Exception {
        socket.connect(address, 1000);
        try (SocketChannel peer = server.accept()) {
            InputStream in = socket.getInputStream();
            socket.setSoTimeout(UnixSocket.PROBE_MILLIS);
            long began = System.nanoTime();
            for (int i = 0; i < PROBES; i++) {
                assertThrows(SocketTimeoutException.class, () -> in.read(new byte[10], 0, 10));
            }
            Duration took = Duration.ofNanos(System.nanoTime() - began);
            assertTrue(took.compareTo(LIMIT) < 0, took.toString());
            socket.setSoTimeout(5000);
            peer.write(ByteBuffer.wrap(new byte[] {7, 8}));
            assertEquals(7, in.read());
            socket.setSoTimeout(UnixSocket.PROBE_MILLIS);
            assertEquals(8, in.read());
        }
    }
}
