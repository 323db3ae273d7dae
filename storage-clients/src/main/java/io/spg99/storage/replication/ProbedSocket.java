package io.spg99.storage.replication;

import io.spg99.storage.socket.UnixSocket;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.SocketException;

/** A TCP socket that answers PgJDBC's look for more ({@link UnixSocket#PROBE_MILLIS}) at once. */
final class ProbedSocket extends Socket {

    private volatile int timeoutMillis;

    @Override
    public void setSoTimeout(int millis) throws SocketException {
        timeoutMillis = millis;
        if (millis != UnixSocket.PROBE_MILLIS) {
            super.setSoTimeout(millis);
        }
    }

    @Override
    public int getSoTimeout() {
        return timeoutMillis;
    }

    @Override
    public InputStream getInputStream() throws IOException {
        return new FilterInputStream(super.getInputStream()) {
            @Override
            public int read() throws IOException {
                probe();
                return super.read();
            }

            @Override
            public int read(byte[] bytes, int offset, int length) throws IOException {
                probe();
                return super.read(bytes, offset, length);
            }

            private void probe() throws IOException {
                if (timeoutMillis == UnixSocket.PROBE_MILLIS && available() == 0) {
                    throw UnixSocket.NothingReceivedException.INSTANCE;
                }
            }
        };
    }
}
