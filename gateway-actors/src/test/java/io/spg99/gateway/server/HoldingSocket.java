package io.spg99.gateway.server;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;

/** PostgreSQL's Unix socket, behind which what a backend says can be held back until it has said its last. */
final class HoldingSocket implements AutoCloseable {

    private final TestPostgres postgres;
    private final Path directory;
    private final ServerSocketChannel listening;
    private volatile int accepted;
    private volatile int held;

    HoldingSocket(TestPostgres postgres) throws IOException {
        this.postgres = postgres;
        directory = Files.createTempDirectory("spg99-holding");
        listening = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        listening.bind(UnixDomainSocketAddress.of(path()));
        Thread.ofVirtual().start(this::accept);
    }

    Path path() {
        return directory.resolve("socket");
    }

    /** What the backends of now say from now on comes in one piece, with their end. */
    void hold() {
        held = accepted;
    }

    private void accept() {
        while (true) {
            try {
                SocketChannel gateway = listening.accept();
                Socket backend = new Socket(InetAddress.getLoopbackAddress(), postgres.port());
                int number = accepted + 1;
                accepted = number;
                Thread.ofVirtual().start(() -> ask(gateway, backend));
                Thread.ofVirtual().start(() -> answer(number, backend, gateway));
            } catch (IOException e) {
                // Closed.
                return;
            }
        }
    }

    private static void ask(SocketChannel gateway, Socket backend) {
        try (backend;
                InputStream in = Channels.newInputStream(gateway)) {
            in.transferTo(backend.getOutputStream());
        } catch (IOException e) {
            // One of the two has closed: so does the other.
        }
    }

    private void answer(int number, Socket backend, SocketChannel gateway) {
        ByteArrayOutputStream kept = new ByteArrayOutputStream();
        byte[] buffer = new byte[8192];
        try (gateway;
                OutputStream out = Channels.newOutputStream(gateway)) {
            InputStream in = backend.getInputStream();
            for (int bytes = in.read(buffer); bytes > 0; bytes = in.read(buffer)) {
                kept.write(buffer, 0, bytes);
                if (number > held) {
                    kept.writeTo(out);
                    kept.reset();
                }
            }
            kept.writeTo(out);
        } catch (IOException e) {
            // As above.
        }
    }

    @Override
    public void close() throws IOException {
        listening.close();
        Files.delete(path());
        Files.delete(directory);
    }
}
