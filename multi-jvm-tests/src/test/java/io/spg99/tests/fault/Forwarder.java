package io.spg99.tests.fault;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;

/**
 * A program of its own, for a network namespace of its own: what connects to its TCP port is led to a Unix socket, which is
 * the same in every namespace.
 */
final class Forwarder {

    private Forwarder() {}

    /** @param arguments address and port to listen on, path of the Unix socket */
    public static void main(String[] arguments) throws IOException {
        try (ServerSocketChannel server =
                ServerSocketChannel.open().bind(new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1])))) {
            System.out.println("listens");
            while (true) {
                SocketChannel near = server.accept();
                SocketChannel far = SocketChannel.open(UnixDomainSocketAddress.of(arguments[2]));
                start(near, far);
                start(far, near);
            }
        }
    }

    private static void start(SocketChannel from, SocketChannel to) {
        Thread.ofPlatform().daemon().start(() -> {
            try (from;
                    to) {
                ByteBuffer bytes = ByteBuffer.allocate(64 * 1024);
                while (from.read(bytes.clear()) >= 0) {
                    bytes.flip();
                    while (bytes.hasRemaining()) {
                        to.write(bytes);
                    }
                }
            } catch (IOException e) {
                // Either side is gone: so is the connection.
            }
        });
    }
}
