package io.spg99.storage.replication;

import io.spg99.storage.socket.UnixSocket;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.file.Path;
import javax.net.SocketFactory;
import org.jspecify.annotations.Nullable;

/**
 * Hands the TCP socket that PgJDBC makes under its TLS socket, or its Unix socket, to the thread that opens the connection:
 * with it the connection can be cut from another thread without waiting for PgJDBC's lock.
 */
public final class TappedSocketFactory extends SocketFactory {

    private static final ThreadLocal<@Nullable Socket> LAST = new ThreadLocal<>();

    private final @Nullable Path path;

    /** @param path of a Unix socket, or null: PgJDBC's {@code socketFactoryArg} */
    public TappedSocketFactory(@Nullable String path) {
        this.path = path == null ? null : Path.of(path);
    }

    /** The socket that this thread made last, once. */
    static @Nullable Socket take() {
        Socket socket = LAST.get();
        LAST.remove();
        return socket;
    }

    @Override
    public Socket createSocket() throws IOException {
        Socket socket = path == null ? new ProbedSocket() : new UnixSocket(path);
        LAST.set(socket);
        return socket;
    }

    @Override
    public Socket createSocket(String host, int port) throws IOException {
        throw connectsItself();
    }

    @Override
    public Socket createSocket(String host, int port, InetAddress local, int localPort) throws IOException {
        throw connectsItself();
    }

    @Override
    public Socket createSocket(InetAddress host, int port) throws IOException {
        throw connectsItself();
    }

    @Override
    public Socket createSocket(InetAddress host, int port, InetAddress local, int localPort) throws IOException {
        throw connectsItself();
    }

    private static IOException connectsItself() {
        return new IOException("PgJDBC is expected to connect the socket itself");
    }
}
