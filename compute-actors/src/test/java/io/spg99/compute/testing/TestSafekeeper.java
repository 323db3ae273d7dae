package io.spg99.compute.testing;

import io.spg99.storage.postgres.WalFiles;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.safekeeper.WriterAddress;
import io.spg99.storage.safekeeper.WriterNames;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Objects;
import java.util.Properties;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.postgresql.Driver;
import org.postgresql.PGConnection;
import org.postgresql.replication.LogSequenceNumber;
import org.postgresql.replication.PGReplicationStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Stands in for a Safekeeper: follows a writer over TLS, keeps its WAL as segment files, confirms what it has. */
public final class TestSafekeeper {

    private static final Logger LOG = LoggerFactory.getLogger(TestSafekeeper.class);

    private final String name;
    private final TimelineBase base;
    private final Path directory;
    private volatile Lsn flushed;
    private volatile Thread follower = new Thread();
    private volatile @Nullable Connection connection;

    public TestSafekeeper(String name, TimelineBase base, Path directory) throws IOException {
        this.name = name;
        this.base = base;
        this.directory = Files.createDirectories(directory);
        this.flushed = base.end();
        write(1, base.start(), ByteBuffer.wrap(base.firstWal()));
    }

    public Lsn flushed() {
        return flushed;
    }

    /** All WAL of this Safekeeper, as a compute fetches it. */
    public void copyTo(Path pgWal) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.toList()) {
                Files.copy(file, pgWal.resolve(file.getFileName()));
            }
        }
    }

    /** Follows the writer of {@code generation} from {@code from} (R) on, until the writer or {@link #stop} ends it. */
    public void follow(int generation, WriterAddress writer, TlsIdentity identity, Lsn from) {
        if (follower.isAlive()) {
            return; // it does already
        }
        flushed = Lsn.max(from, flushed);
        follower = Thread.ofPlatform().name("test-" + name).daemon().start(() -> {
            try {
                receive(generation, writer, identity, from.segmentStart(base.segmentSize()));
            } catch (SQLException e) {
                // The writer is gone: that is how most tests end.
                LOG.info("{} follows generation {} no longer: {}", name, generation, e.toString());
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }

    public void stop() throws InterruptedException, SQLException {
        Connection following = connection;
        if (following != null) {
            following.abort(Runnable::run);
        }
        awaitEnd();
    }

    /** Waits until the writer has gone and everything it sent is stored. */
    public void awaitEnd() throws InterruptedException {
        follower.join(10_000);
        if (follower.isAlive()) {
            throw new IllegalStateException("the writer's stream does not end: safekeeper=" + name);
        }
    }

    private void receive(int generation, WriterAddress writer, TlsIdentity identity, Lsn from)
            throws SQLException, IOException {
        Properties properties = TestClients.tls(identity);
        properties.setProperty("user", WriterNames.SAFEKEEPER_ROLE);
        properties.setProperty("replication", "true");
        properties.setProperty("preferQueryMode", "simple");
        properties.setProperty("assumeMinServerVersion", "17");
        properties.setProperty("ApplicationName", name);
        String url = "jdbc:postgresql://" + writer.host() + ":" + writer.port() + "/";
        try (Connection following = Objects.requireNonNull(new Driver().connect(url, properties))) {
            connection = following;
            receive(generation, from, following);
        }
    }

    private void receive(int generation, Lsn from, Connection following) throws SQLException, IOException {
        try (PGReplicationStream stream = following
                .unwrap(PGConnection.class)
                .getReplicationAPI()
                .replicationStream()
                .physical()
                .withStartPosition(LogSequenceNumber.valueOf(from.value()))
                .start()) {
            Lsn at = from;
            while (true) {
                ByteBuffer bytes = Objects.requireNonNull(stream.read());
                int length = bytes.remaining();
                write(generation, at, bytes);
                at = at.plus(length);
                if (at.isAfter(flushed)) {
                    flushed = at;
                }
                LogSequenceNumber position = LogSequenceNumber.valueOf(at.value());
                stream.setFlushedLSN(position);
                stream.setAppliedLSN(position);
                stream.forceUpdateStatus();
            }
        }
    }

    private void write(int generation, Lsn at, ByteBuffer bytes) throws IOException {
        int size = base.segmentSize();
        while (bytes.hasRemaining()) {
            int part = Math.min(bytes.remaining(), size - at.offset(size));
            Path file = directory.resolve(WalFiles.segmentName(generation, at.segment(size), size));
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                ByteBuffer slice = bytes.slice(bytes.position(), part);
                for (long position = at.offset(size); slice.hasRemaining(); ) {
                    position += channel.write(slice, position);
                }
            }
            bytes.position(bytes.position() + part);
            at = at.plus(part);
        }
    }
}
