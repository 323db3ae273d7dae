package io.spg99.nodes.safekeeper.log;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.nodes.safekeeper.TestPki;
import io.spg99.nodes.safekeeper.serve.ServedTimeline;
import io.spg99.nodes.safekeeper.serve.WalServer;
import io.spg99.storage.replication.ReplicationException;
import io.spg99.storage.safekeeper.SafekeeperId;
import io.spg99.storage.safekeeper.WalFetch;
import io.spg99.storage.safekeeper.WalSource;
import io.spg99.storage.tls.TlsIdentity;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Who may read how much (W4), and what a server does with nonsense. */
class WalServerTest {

    @TempDir
    Path directory;

    private TestPki pki;
    private FakeWal wal;
    private ServedTimeline served;
    private WalServer server;

    @BeforeEach
    void serve() throws Exception {
        pki = new TestPki(directory);
        wal = FakeWal.begin().branch(2).records(new Random(5), 2000);
        TimelineLog log = TimelineLog.create(new CrashingDisk(new Random(1)), wal.base());
        log.promise(2);
        log.establish(2, wal.base().history(), wal.base().end(), wal.base().start());
        Lsn from = log.follow(2);
        log.append(2, from, wal.slice(from, wal.end()));
        log.flush();
        served = new ServedTimeline(log);
        TimelineId timeline = wal.base().timeline();
        server = WalServer.bind(
                "127.0.0.1",
                0,
                Optional.of(directory.resolve("wal.sock")),
                pki.issue(TlsIdentity.SAFEKEEPER),
                id -> id.equals(timeline) ? Optional.of(served) : Optional.empty());
    }

    @AfterEach
    void close() {
        server.close();
    }

    private byte[] fetch(TlsIdentity identity, TimelineId timeline, Lsn from, Lsn to) throws IOException {
        return fetch(
                new WalFetch(timeline, identity, "test"),
                new WalSource(SafekeeperId.ALL.getFirst(), "127.0.0.1", server.port()),
                from,
                to);
    }

    /** Over the Unix socket. */
    private byte[] fetchLocally(String name, Lsn from, Lsn to) throws Exception {
        String socket = server.socket().orElseThrow().toString();
        return fetch(
                new WalFetch(wal.base().timeline(), pki.issue(TlsIdentity.COMPUTE), name),
                new WalSource(SafekeeperId.ALL.getFirst(), "nowhere.invalid", 1, socket),
                from,
                to);
    }

    private byte[] fetch(WalFetch fetch, WalSource source, Lsn from, Lsn to) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        fetch.fetch(List.of(source), wal.history(), from, to, (at, bytes) -> {
            byte[] chunk = new byte[bytes.remaining()];
            bytes.get(chunk);
            out.writeBytes(chunk);
        });
        return out.toByteArray();
    }

    private byte[] expected(Lsn from, Lsn to) {
        byte[] bytes = new byte[(int) to.minus(from)];
        wal.slice(from, to).get(bytes);
        return bytes;
    }

    @Test
    void givenNoQuorumPosition_whenAPeerReads_thenItGetsAllThatIsDurable() throws Exception {
        byte[] bytes = fetch(pki.issue(TlsIdentity.SAFEKEEPER), wal.base().timeline(), wal.start(), wal.end());

        assertArrayEquals(wal.bytes(), bytes);
    }

    @Test
    void givenAQuorumPosition_whenOthersRead_thenTheyWaitThereUntilItMoves() throws Exception {
        TlsIdentity compute = pki.issue(TlsIdentity.COMPUTE);
        Lsn middle = wal.recordEnds().get(1000);
        served.quorum(middle);
        assertArrayEquals(
                expected(wal.start(), middle), fetch(compute, wal.base().timeline(), wal.start(), middle));

        CompletableFuture<byte[]> rest = CompletableFuture.supplyAsync(() -> {
            try {
                return fetch(compute, wal.base().timeline(), middle, wal.end());
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        });
        assertThrows(TimeoutException.class, () -> rest.get(400, TimeUnit.MILLISECONDS));
        served.quorum(wal.end());

        assertArrayEquals(expected(middle, wal.end()), rest.get(10, TimeUnit.SECONDS));
    }

    @Test
    void givenAQuorumPosition_whenReadOverTheUnixSocket_thenOnlySafekeepersGetMore() throws Exception {
        Lsn middle = wal.recordEnds().get(1000);
        served.quorum(middle);

        assertArrayEquals(wal.bytes(), fetchLocally("sk2", wal.start(), wal.end()));
        assertArrayEquals(expected(wal.start(), middle), fetchLocally("generation-3", wal.start(), middle));
        CompletableFuture<byte[]> rest = CompletableFuture.supplyAsync(() -> {
            try {
                return fetchLocally("generation-3", middle, wal.end());
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
        assertThrows(TimeoutException.class, () -> rest.get(400, TimeUnit.MILLISECONDS));
        served.quorum(wal.end());

        assertArrayEquals(expected(middle, wal.end()), rest.get(10, TimeUnit.SECONDS));
    }

    @Test
    void givenAnotherTimeline_whenAskedFor_thenTheAnswerSaysSo() {
        ReplicationException refused = assertThrows(
                ReplicationException.class,
                () -> fetch(pki.issue(TlsIdentity.COMPUTE), new TimelineId("f".repeat(32)), wal.start(), wal.end()));

        assertTrue(String.valueOf(refused.getMessage()).contains("not served here"), refused.getMessage());
    }

    @Test
    void givenAForeignCertificate_whenConnecting_thenRefused() throws Exception {
        Path elsewhere = Files.createDirectory(directory.resolve("elsewhere"));
        TlsIdentity stranger = new TestPki(elsewhere).issue(TlsIdentity.COMPUTE);
        TlsIdentity disguised =
                new TlsIdentity(stranger.certificate(), stranger.key(), stranger.keyDer(), directory.resolve("ca.crt"));

        assertThrows(
                ReplicationException.class,
                () -> fetch(
                        disguised,
                        wal.base().timeline(),
                        wal.start(),
                        wal.base().end()));
    }

    @Test
    void givenNonsense_whenSentInTheClear_thenTheConnectionEndsAndTheServerGoesOn() throws Exception {
        Random random = new Random(9);
        for (int i = 0; i < 20; i++) {
            byte[] nonsense = new byte[8 + random.nextInt(20_000)];
            random.nextBytes(nonsense);
            assertEnds(nonsense);
        }
        // Bytes in the clear behind the request for TLS are somebody else's.
        assertEnds(ByteBuffer.allocate(16).putInt(8).putInt(80877103).array());
        served.quorum(wal.end());
        assertEquals(
                wal.bytes().length,
                fetch(pki.issue(TlsIdentity.COMPUTE), wal.base().timeline(), wal.start(), wal.end()).length);
    }

    private void assertEnds(byte[] bytes) throws IOException {
        try (Socket socket = new Socket(InetAddress.getByAddress(new byte[] {127, 0, 0, 1}), server.port())) {
            socket.setSoTimeout(5000);
            try {
                new DataOutputStream(socket.getOutputStream()).write(bytes);
                while (socket.getInputStream().read() >= 0) {
                    // An error message may come first.
                }
            } catch (SocketException e) {
                // A reset is an end, too.
            }
        }
    }
}
