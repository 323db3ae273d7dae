package io.spg99.storage.replication;

import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.Properties;
import org.jspecify.annotations.Nullable;
import org.postgresql.Driver;
import org.postgresql.PGProperty;
import org.postgresql.copy.CopyDual;
import org.postgresql.jdbc.PgConnection;

/**
 * A replication connection of PgJDBC: TLS with client certificate, or a Unix socket. Holds the only strong reference to the
 * {@code PgConnection}, which PgJDBC would otherwise close while its stream is being read.
 */
public final class PgReplicationConnection implements ReplicationConnection {

    private static final Driver DRIVER = new Driver();
    private static final long POSTGRES_EPOCH_MICROS =
            Instant.parse("2000-01-01T00:00:00Z").toEpochMilli() * 1000;
    private static final int STATUS_LENGTH = 34;

    /** SQLSTATE of "replication slot already exists". */
    private static final String DUPLICATE_OBJECT = "42710";

    private final PgConnection connection;
    private final Socket socket;
    private @Nullable CopyDual copy;

    private PgReplicationConnection(PgConnection connection, Socket socket) {
        this.connection = connection;
        this.socket = socket;
    }

    public static ReplicationConnection open(ReplicationTarget target) throws ReplicationException {
        Properties properties = new Properties();
        PGProperty.USER.set(properties, target.user());
        PGProperty.APPLICATION_NAME.set(properties, target.applicationName());
        PGProperty.REPLICATION.set(properties, "true");
        // Spares the queries with which PgJDBC would find out whom it talks to.
        PGProperty.ASSUME_MIN_SERVER_VERSION.set(properties, "17");
        PGProperty.PREFER_QUERY_MODE.set(properties, "simple");
        PGProperty.GSS_ENC_MODE.set(properties, "disable");
        Optional<Path> unixSocket = target.socket().filter(Files::isWritable);
        if (unixSocket.isPresent()) {
            PGProperty.SSL_MODE.set(properties, "disable");
            PGProperty.SOCKET_FACTORY_ARG.set(properties, unixSocket.get().toString());
        } else {
            IdentitySocketFactory.set(properties, target.identity());
        }
        PGProperty.CONNECT_TIMEOUT.set(properties, seconds(target.connectTimeout()));
        PGProperty.SOCKET_TIMEOUT.set(properties, seconds(target.silence()));
        PGProperty.SOCKET_FACTORY.set(properties, TappedSocketFactory.class.getName());
        String host = target.host().contains(":") ? "[" + target.host() + "]" : target.host();
        String where = "host=" + target.host() + " port=" + target.port();
        try {
            Connection opened = DRIVER.connect("jdbc:postgresql://" + host + ":" + target.port() + "/wal", properties);
            Socket socket = TappedSocketFactory.take();
            if (opened == null || socket == null) {
                throw new ReplicationException("PgJDBC made no connection: " + where);
            }
            return new PgReplicationConnection(opened.unwrap(PgConnection.class), socket);
        } catch (SQLException e) {
            closeQuietly(TappedSocketFactory.take());
            throw new ReplicationException("cannot connect: " + where, e);
        }
    }

    private static int seconds(Duration duration) {
        return (int) Math.max(1, duration.toSeconds());
    }

    @Override
    public Identity identify() throws ReplicationException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery("IDENTIFY_SYSTEM")) {
            if (!row.next()) {
                throw new ReplicationException("IDENTIFY_SYSTEM gave no answer");
            }
            return new Identity(Long.parseUnsignedLong(string(row, 1)), row.getInt(2), Lsn.parse(string(row, 3)));
        } catch (SQLException e) {
            throw new ReplicationException("IDENTIFY_SYSTEM failed", e);
        } catch (IllegalArgumentException e) {
            throw new ReplicationException("IDENTIFY_SYSTEM gave a malformed answer: " + e.getMessage());
        }
    }

    /** With a temporary slot: there is one of a name, it lives as long as its connection, and keeps no WAL. */
    @Override
    public void claim(String name) throws ReplicationException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE_REPLICATION_SLOT " + name + " TEMPORARY PHYSICAL");
        } catch (SQLException e) {
            throw new ReplicationException("the former connection of " + name + " is there still", e);
        }
    }

    @Override
    public void ensureSlot(String name) throws ReplicationException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE_REPLICATION_SLOT " + name + " PHYSICAL (RESERVE_WAL)");
        } catch (SQLException e) {
            if (!DUPLICATE_OBJECT.equals(e.getSQLState())) {
                throw new ReplicationException("CREATE_REPLICATION_SLOT " + name + " failed", e);
            }
        }
    }

    @Override
    public @Nullable Lsn slotPosition(String name) throws ReplicationException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery("READ_REPLICATION_SLOT " + name)) {
            String position = row.next() ? row.getString(2) : null;
            return position == null ? null : Lsn.parse(position);
        } catch (SQLException e) {
            throw new ReplicationException("READ_REPLICATION_SLOT " + name + " failed", e);
        }
    }

    private static String string(ResultSet row, int column) throws SQLException {
        String value = row.getString(column);
        return value == null ? "" : value;
    }

    @Override
    public void start(Lsn from, int generation) throws ReplicationException {
        start("", from, generation);
    }

    @Override
    public void startWithSlot(String name, Lsn from, int generation) throws ReplicationException {
        start("SLOT " + name + " ", from, generation);
    }

    private void start(String slot, Lsn from, int generation) throws ReplicationException {
        try {
            copy = connection
                    .getCopyAPI()
                    .copyDual("START_REPLICATION " + slot + "PHYSICAL " + from + " TIMELINE " + generation);
        } catch (SQLException e) {
            throw new ReplicationException(
                    "START_REPLICATION at " + from + " of generation=" + generation + " failed", e);
        }
    }

    @Override
    public @Nullable ReplicationMessage receive() throws ReplicationException {
        return read(true);
    }

    @Override
    public @Nullable ReplicationMessage poll() throws ReplicationException {
        return read(false);
    }

    private @Nullable ReplicationMessage read(boolean block) throws ReplicationException {
        CopyDual stream = copy;
        if (stream == null || !stream.isActive()) {
            return null;
        }
        try {
            byte[] bytes = stream.readFromCopy(block);
            return bytes == null ? null : decode(ByteBuffer.wrap(bytes));
        } catch (SQLException e) {
            throw new ReplicationException("stream broken", e);
        }
    }

    private static ReplicationMessage decode(ByteBuffer message) throws ReplicationException {
        byte type = message.hasRemaining() ? message.get() : 0;
        if (type == 'w' && message.remaining() >= 24) {
            Lsn at = new Lsn(message.getLong());
            message.position(message.position() + 16); // server's end and clock
            return new ReplicationMessage.Wal(at, message.slice());
        }
        if (type == 'k' && message.remaining() >= 17) {
            Lsn end = new Lsn(message.getLong());
            message.position(message.position() + 8); // server's clock
            return new ReplicationMessage.Keepalive(end, message.get() != 0);
        }
        throw new ReplicationException("malformed replication message: type=" + type + " length=" + message.limit());
    }

    @Override
    public void status(Lsn flushed) throws ReplicationException {
        send(flushed, false);
    }

    @Override
    public void confirm(Lsn flushed) throws ReplicationException {
        send(flushed, true);
        ReplicationMessage message = receive();
        while (message instanceof ReplicationMessage.Wal) {
            message = receive();
        }
        if (message == null) {
            throw new ReplicationException("the server ended the stream");
        }
    }

    private void send(Lsn flushed, boolean replyRequested) throws ReplicationException {
        CopyDual stream = copy;
        if (stream == null || !stream.isActive()) {
            return;
        }
        ByteBuffer status = ByteBuffer.allocate(STATUS_LENGTH);
        status.put((byte) 'r')
                .putLong(flushed.value())
                .putLong(flushed.value())
                .putLong(flushed.value())
                .putLong(System.currentTimeMillis() * 1000 - POSTGRES_EPOCH_MICROS)
                .put((byte) (replyRequested ? 1 : 0));
        try {
            stream.writeToCopy(status.array(), 0, STATUS_LENGTH);
            stream.flushCopy();
        } catch (SQLException e) {
            throw new ReplicationException("cannot send status", e);
        }
    }

    @Override
    public void cut() {
        closeQuietly(socket);
    }

    private static void closeQuietly(@Nullable Socket socket) {
        if (socket != null) {
            try {
                socket.close();
            } catch (IOException e) {
                // Nothing is left to be done with a socket that cannot be closed.
            }
        }
    }

    @Override
    public void close() {
        cut();
        try {
            connection.close();
        } catch (SQLException e) {
            // The socket is closed already, and that is what counts.
        }
    }
}
