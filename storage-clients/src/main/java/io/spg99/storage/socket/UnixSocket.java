package io.spg99.storage.socket;

import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Objects;

/**
 * A Unix socket as PgJDBC uses sockets: blocking streams for one thread, with read timeouts and {@code available()}.
 * {@link #close} may come from any thread and ends what blocks; so does an interrupt. Options that only TCP has are
 * accepted and ignored.
 */
public final class UnixSocket extends Socket {

    /**
     * The read timeout with which PgJDBC looks whether something has arrived ({@code PGStream.hasMessagePending}), in
     * milliseconds. A socket under a stream that is looked at between two commits must not take it by its word: each
     * look would cost each commit that millisecond.
     */
    public static final int PROBE_MILLIS = 1;

    /** The answer to such a look if there is nothing; without a stack trace, which would cost more than the look. */
    public static final class NothingReceivedException extends SocketTimeoutException {

        private static final long serialVersionUID = 1L;

        @SuppressWarnings("StaticAssignmentOfThrowable") // it says nothing about where it was thrown
        public static final NothingReceivedException INSTANCE = new NothingReceivedException();

        private NothingReceivedException() {
            super("nothing has been received");
        }

        @Override
        @SuppressWarnings("NonSynchronizedOverridesSynchronized") // nothing is written
        public Throwable fillInStackTrace() {
            return this;
        }
    }

    private static final int BUFFER = 8192;

    /** sizeof(sockaddr_un.sun_path) - 1, in bytes. */
    private static final int PATH_LIMIT = 107;

    private final Path path;
    private final SocketChannel channel;
    private final Selector readable;
    private final Selector writable;
    private final ByteBuffer ahead = ByteBuffer.allocate(BUFFER).flip();
    private volatile int timeoutMillis;

    /** @param path of the server's socket, which {@link #connect} connects to whatever address it is given */
    public UnixSocket(Path path) throws IOException {
        this.path = path;
        this.channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        this.readable = Selector.open();
        this.writable = Selector.open();
    }

    /** Whether a socket can have this name at all. */
    public static boolean fits(Path path) {
        return path.toString().getBytes(StandardCharsets.UTF_8).length <= PATH_LIMIT;
    }

    @Override
    public void connect(SocketAddress ignored, int connectTimeoutMillis) throws IOException {
        channel.connect(UnixDomainSocketAddress.of(path));
        channel.configureBlocking(false);
        channel.register(readable, SelectionKey.OP_READ);
        channel.register(writable, SelectionKey.OP_WRITE);
    }

    @Override
    public InputStream getInputStream() {
        return new InputStream() {
            @Override
            public int read() throws IOException {
                byte[] one = new byte[1];
                return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
            }

            @Override
            public int read(byte[] bytes, int offset, int length) throws IOException {
                Objects.checkFromIndexSize(offset, length, bytes.length);
                if (ahead.hasRemaining()) {
                    int buffered = Math.min(length, ahead.remaining());
                    ahead.get(bytes, offset, buffered);
                    return buffered;
                }
                ByteBuffer into = ByteBuffer.wrap(bytes, offset, length);
                while (true) {
                    int count = channel.read(into);
                    if (count != 0 || length == 0) {
                        return count;
                    }
                    if (timeoutMillis == PROBE_MILLIS) {
                        throw NothingReceivedException.INSTANCE;
                    }
                    await(readable, timeoutMillis);
                }
            }

            @Override
            public int available() throws IOException {
                if (!ahead.hasRemaining()) {
                    ahead.clear();
                    try {
                        channel.read(ahead);
                    } finally {
                        ahead.flip();
                    }
                }
                return ahead.remaining();
            }
        };
    }

    @Override
    public OutputStream getOutputStream() {
        return new OutputStream() {
            @Override
            public void write(int value) throws IOException {
                write(new byte[] {(byte) value}, 0, 1);
            }

            @Override
            public void write(byte[] bytes, int offset, int length) throws IOException {
                ByteBuffer from = ByteBuffer.wrap(bytes, offset, length);
                while (from.hasRemaining()) {
                    if (channel.write(from) == 0) {
                        await(writable, 0);
                    }
                }
            }
        };
    }

    /** @param limitMillis 0 for none */
    private void await(Selector selector, int limitMillis) throws IOException {
        int selected;
        try {
            selected = selector.select(limitMillis);
            selector.selectedKeys().clear();
        } catch (ClosedSelectorException e) {
            throw closed();
        }
        if (Thread.currentThread().isInterrupted()) {
            close();
            throw new InterruptedIOException("interrupted");
        }
        if (!channel.isOpen()) {
            throw closed();
        }
        if (selected == 0 && limitMillis > 0) {
            throw new SocketTimeoutException("nothing was received in time: limit=" + limitMillis + "ms");
        }
    }

    private static SocketException closed() {
        return new SocketException("Socket closed");
    }

    @Override
    public boolean isConnected() {
        return channel.isConnected();
    }

    @Override
    public boolean isClosed() {
        return !channel.isOpen();
    }

    @Override
    public void close() throws IOException {
        channel.close();
        readable.close();
        writable.close();
    }

    @Override
    public void setSoTimeout(int millis) {
        timeoutMillis = millis;
    }

    @Override
    public int getSoTimeout() {
        return timeoutMillis;
    }

    @Override
    public void setTcpNoDelay(boolean on) {}

    @Override
    public void setKeepAlive(boolean on) {}

    @Override
    public void setReceiveBufferSize(int size) {}

    @Override
    public void setSendBufferSize(int size) {}

    @Override
    public int getSendBufferSize() {
        return BUFFER;
    }
}
