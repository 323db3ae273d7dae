package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.buffer.PooledByteBufAllocator;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What a client could do to hurt, and the limits against it; the start and the stop of a Gateway. */
@ExtendWith(SharedPostgres.class)
class HostileClientsTest {

    private static final int VERSION_3 = 3 << 16;
    private static final Map<String, String> PARAMETERS =
            Map.of("user", TestPostgres.USER, "database", TestPostgres.DATABASE);

    private final TestPostgres postgres;
    private final Deque<GatewayFixture> started = new ArrayDeque<>();

    HostileClientsTest(TestPostgres postgres) {
        this.postgres = postgres;
    }

    private void start(String overrides) throws Exception {
        started.push(new GatewayFixture(postgres, overrides));
        gateway().databases.awake();
    }

    private GatewayFixture gateway() {
        return started.element();
    }

    @AfterEach
    void stop() throws Exception {
        gateway().stop();
    }

    private RawClient raw() throws IOException {
        return new RawClient(gateway().server.port());
    }

    private void assertServes() throws SQLException {
        try (Connection connection = gateway().connect();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT 1")) {
            assertTrue(rows.next());
        }
    }

    @Test
    void givenWrongPasswordsFromOneAddress_thenItsChecksWaitLongerAndARightOneStillLogsIn() throws Exception {
        start("login-backoff { free-failures = 2, first = 300ms, longest = 600ms }");
        logInWrongly("nobody_here");
        logInWrongly("nobody_else");
        assertEquals(0, delays());
        assertTrue(logInWrongly("nobody_here") >= 300);
        assertTrue(logInWrongly("nobody_here") >= 600);
        assertTrue(logInWrongly("nobody_here") >= 600);
        assertEquals(3, delays());

        long began = System.nanoTime();
        assertServes();
        assertTrue(System.nanoTime() - began >= Duration.ofMillis(600).toNanos());
        assertServes();
        assertEquals(4, delays());
        logInWrongly(TestPostgres.USER);
        assertServes();
        assertEquals(5, delays());
    }

    private double delays() {
        return gateway().metrics.counter("spg99.gateway.login.delays").count();
    }

    /** Milliseconds until the answer. */
    private long logInWrongly(String user) {
        Properties properties = gateway().properties();
        properties.setProperty("user", user);
        properties.setProperty("password", "wrong");
        long began = System.nanoTime();
        SQLException error = assertThrows(SQLException.class, () -> gateway().connect(properties));
        assertEquals("28P01", error.getSQLState());
        return Duration.ofNanos(System.nanoTime() - began).toMillis();
    }

    @Test
    void givenManyWrongPasswordsThatWait_thenTheyHaveNoThreadAndOthersAreServed() throws Exception {
        start("login-backoff { free-failures = 0, first = 5s, longest = 5s }");
        assertServes();
        logInWrongly("nobody_here");
        int threads = Thread.activeCount();
        Deque<RawClient> waiting = new ArrayDeque<>();
        for (int i = 0; i < 100; i++) {
            RawClient client = raw();
            waiting.push(client);
            client.sendPassword("nobody_here", TestPostgres.DATABASE, "wrong");
        }
        Awaitility.await("all of them to wait").until(() -> delays() == 100);
        assertServes();
        assertTrue(Thread.activeCount() < threads + 50, "a thread each");
        for (RawClient client : waiting) {
            client.close();
        }
    }

    @Test
    void givenThousandHalfOpenConnections_thenServiceGoesOnAndTheyTimeOut() throws Exception {
        start("login-timeout = 1500ms");
        assertServes();
        long before = PooledByteBufAllocator.DEFAULT.metric().usedDirectMemory();
        List<Socket> halfOpen = new ArrayList<>();
        try {
            for (int i = 0; i < 1_000; i++) {
                Socket socket = new Socket(
                        InetAddress.getLoopbackAddress(), gateway().server.port());
                halfOpen.add(socket);
                if (i % 2 == 0) {
                    socket.getOutputStream().write(new byte[] {0, 0, 0, 8, 4, (byte) 0xd2, 0x16, 0x2f});
                }
            }
            assertServes();
            long grown = PooledByteBufAllocator.DEFAULT.metric().usedDirectMemory() - before;
            assertTrue(grown < 32L << 20, "direct memory grew by " + grown);
            for (Socket socket : halfOpen) {
                socket.setSoTimeout(5_000);
                while (socket.getInputStream().read() >= 0) {}
            }
        } finally {
            for (Socket socket : halfOpen) {
                socket.close();
            }
        }
        assertServes();
    }

    @Test
    void givenRandomBytes_thenAnErrorOrTheEndAndServiceGoesOn() throws Exception {
        start("login-timeout = 500ms");
        long seed = 42;
        Random random = new Random(seed);
        for (int i = 0; i < 60; i++) {
            byte[] noise = new byte[1 + random.nextInt(30_000)];
            random.nextBytes(noise);
            if (i % 3 == 0) {
                noise[0] = 0;
            }
            try (RawClient client = raw()) {
                if (i % 2 == 0) {
                    assertEquals('S', client.sslRequest().answer());
                    if (i % 4 == 0) {
                        client.startTls();
                    }
                }
                client.send(noise);
                assertTrue(client.closed());
            } catch (IOException e) {
                // Closed while we still wrote: as good.
            }
        }
        assertServes();
    }

    @Test
    void givenOversizedOrTruncatedStartupPackets_then08P01() throws Exception {
        start("login-timeout = 300ms");
        for (byte[] packet : List.of(
                new byte[] {0x7f, -1, -1, -1}, new byte[] {0, 0, 0x27, 0x11}, new byte[] {0, 0, 0, 7}, new byte[8])) {
            try (RawClient client = raw()) {
                assertTrue(client.send(packet).message().contains("C08P01\nMinvalid length of startup packet"));
                assertTrue(client.closed());
            }
        }
        try (RawClient client = raw()) {
            // The rest never comes: the login timeout ends it.
            assertTrue(client.send(new byte[] {0, 0, 1, 0, 0, 3}).closed());
        }
    }

    @Test
    void givenPlainBytesAfterSslRequest_thenTheyAreNotTakenForEncryptedOnes() throws Exception {
        start("");
        byte[] both = {0, 0, 0, 8, 4, (byte) 0xd2, 0x16, 0x2f, 'Q', 0, 0, 0, 5, 0};
        try (RawClient client = raw()) {
            String answer = client.send(both).message();
            assertTrue(answer.contains("received unencrypted data after SSL request"), answer);
        }
    }

    @Test
    void givenGssRequestThenNewerProtocol_thenDeclinedAndNegotiatedDown() throws Exception {
        start("");
        try (RawClient client = raw()) {
            assertEquals('N', client.packet(80877104).answer());
            assertEquals('S', client.sslRequest().answer());
            client.startTls().startup(VERSION_3 + 2, Map.of("user", TestPostgres.USER, "_pq_.option", "1"));
            String negotiation = client.message();
            assertEquals("v\n\u0003\n\n\n\n\n\u0001_pq_.option\n", negotiation);
            assertEquals("R\n\n\n\nSCRAM-SHA-256-PLUS\nSCRAM-SHA-256\n\n", client.message());
        }
        try (RawClient client = raw()) {
            client.sslRequest().answer();
            String answer = client.startTls().startup(2 << 16, PARAMETERS).message();
            assertTrue(answer.contains("C0A000\nMunsupported frontend protocol 2.0"), answer);
        }
    }

    @Test
    void givenNoUser_then28000() throws Exception {
        start("");
        try (RawClient client = raw()) {
            client.sslRequest().answer();
            String answer = client.startTls()
                    .startup(VERSION_3, Map.of("database", "app"))
                    .message();
            assertTrue(answer.contains("C28000\n"), answer);
        }
    }

    @Test
    void givenOversizedPasswordMessage_then08P01() throws Exception {
        start("");
        try (RawClient client = raw()) {
            client.sslRequest().answer();
            client.startTls().startup(VERSION_3, PARAMETERS).message();
            String answer = client.send(new byte[] {'p', 0x3f, -1, -1, -1}).message();
            assertTrue(answer.contains("C08P01\n"), answer);
            assertTrue(client.closed());
        }
    }

    @Test
    void givenCancelRequestWithAWrongKey_thenItIsClosedWithoutAWord() throws Exception {
        start("");
        try (RawClient client = raw()) {
            assertTrue(client.packet(80877102, 1, 2).closed());
        }
    }

    @Test
    void givenTooManyBeforeLogin_then53300() throws Exception {
        start("max-pre-auth-connections = 2");
        try (RawClient first = raw();
                RawClient second = raw()) {
            first.send(new byte[1]);
            second.send(new byte[1]);
            Awaitility.await("the limit to be reached").until(() -> {
                try (RawClient third = raw()) {
                    return third.sslRequest().answer() == 'E';
                }
            });
        }
        Awaitility.await("room again").ignoreExceptions().until(() -> {
            assertServes();
            return true;
        });
    }

    @Test
    void givenTooManyLoggedIn_then53300() throws Exception {
        start("max-connections = 1");
        try (Connection only = gateway().connect()) {
            SQLException refused =
                    assertThrows(SQLException.class, () -> gateway().connect());
            assertEquals("53300", refused.getSQLState());
            assertTrue(only.isValid(5));
        }
    }

    @Test
    void givenBusyPort_whenStarting_thenTheErrorSaysWhatToDo() throws Exception {
        start("");
        ExecutionException failure = assertThrows(
                ExecutionException.class,
                () -> new GatewayFixture(postgres, "port = " + gateway().server.port()).stop());
        assertTrue(String.valueOf(failure.getMessage()).contains("choose another port"), failure.getMessage());
    }

    @Test
    void givenSessions_whenStopping_thenTheyAreTold57P01() throws Exception {
        start("");
        try (Connection connection = gateway().connect();
                Statement statement = connection.createStatement()) {
            gateway().server.stop(Duration.ofSeconds(3)).toCompletableFuture().get(6, TimeUnit.SECONDS);
            SQLException told = assertThrows(SQLException.class, () -> statement.execute("SELECT 1"));
            assertEquals("57P01", told.getSQLState());
            assertThrows(SQLException.class, () -> gateway().connect());
        }
    }

    @Test
    void givenComputeWithAForeignCertificate_whenConnecting_thenItIsNotTrusted() throws Exception {
        start("wake-timeout = 1s, tls.backend-name = someone.else");
        SQLException refused = assertThrows(SQLException.class, () -> gateway().connect());
        assertEquals("57P03", refused.getSQLState());
        assertTrue(gateway()
                .metrics
                .scrape()
                .lines()
                .anyMatch(line -> line.matches("gw_backend_tls_handshake_errors_total [1-9].*")));
    }
}
