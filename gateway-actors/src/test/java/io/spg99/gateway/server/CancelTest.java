package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.gateway.lease.LeaseEvent;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Arrays;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Cancel requests to the Gateway of the session and to another one of the cluster. */
@ExtendWith(SharedPostgres.class)
class CancelTest {

    enum Asked {
        THE_SAME,
        ANOTHER
    }

    private static TestPostgres postgres;
    private static GatewayFixture gateway;
    private static GatewayServer other;

    @BeforeAll
    static void start(TestPostgres shared) throws Exception {
        postgres = shared;
        gateway = new GatewayFixture(postgres, "");
        other = gateway.start("");
    }

    @AfterAll
    static void stop() throws Exception {
        other.stop(Duration.ofSeconds(3)).toCompletableFuture().join();
        gateway.stop();
    }

    @BeforeEach
    void awake() {
        gateway.databases.asleep();
        Awaitility.await("earlier sessions to be gone")
                .atMost(Duration.ofSeconds(10))
                .until(() -> gateway.metrics.scrape().contains("spg99_lease_active 0.0"));
        gateway.databases.serverConnections(1);
        gateway.databases.awake();
    }

    @ParameterizedTest
    @EnumSource
    void givenRunningQuery_whenCancelled_then57014AndTheSessionGoesOn(Asked asked) throws Exception {
        try (Client client = new Client()) {
            client.raw.query("SELECT pg_sleep(15)");
            awaitRunning("SELECT pg_sleep(15)");
            cancel(asked, client.key);
            client.await('T');
            client.assertCancelled();
            client.assertGoesOn();
        }
    }

    @ParameterizedTest
    @EnumSource
    void givenQueryThatWaitsForAServerConnection_whenCancelled_then57014AndTheSessionGoesOn(Asked asked)
            throws Exception {
        try (Client holder = new Client();
                Client client = new Client()) {
            holder.raw.query("BEGIN").awaitReady();
            client.raw.query("SELECT 1 / 0");
            client.awaitNotice();
            cancel(asked, client.key);
            client.assertCancelled();
            holder.raw.query("COMMIT").awaitReady();
            client.assertGoesOn();
            holder.assertGoesOn();
        }
    }

    @ParameterizedTest
    @EnumSource
    void givenQueryThatWaitsForTheDatabaseToWake_whenCancelled_then57014AndTheSessionGoesOn(Asked asked)
            throws Exception {
        try (Client client = new Client()) {
            client.assertGoesOn();
            gateway.databases.revoke(LeaseEvent.Reason.STOPPED);
            client.raw.query("SELECT 1 / 0");
            client.awaitNotice();
            cancel(asked, client.key);
            client.assertCancelled();
            gateway.databases.awake();
            client.assertGoesOn();
        }
    }

    @Test
    void givenLongStatementOfWhichAPartIsThere_whenCancelledInTheQueue_thenTheRestIsSkipped() throws Exception {
        try (Client holder = new Client();
                Client client = new Client()) {
            holder.raw.query("BEGIN").awaitReady();
            byte[] query = Frontend.query("SELECT '" + "x".repeat(1_000_000) + "'");
            client.raw.send(Arrays.copyOf(query, 200_000));
            client.awaitNotice();
            cancel(Asked.THE_SAME, client.key);
            client.raw.send(Arrays.copyOfRange(query, 200_000, query.length));
            client.assertCancelled();
            holder.raw.query("COMMIT").awaitReady();
            client.assertGoesOn();
        }
    }

    @Test
    void givenPipelinedRequests_whenTheFirstIsCancelledInTheQueue_thenTheNextIsAnswered() throws Exception {
        try (Client holder = new Client();
                Client client = new Client()) {
            holder.raw.query("BEGIN").awaitReady();
            client.raw.send(Frontend.parse("", "SELECT 1 / 0"));
            client.raw.send(Frontend.bind("", "", 0));
            client.awaitNotice();
            cancel(Asked.THE_SAME, client.key);
            client.raw.send(Frontend.execute("", 0));
            client.raw.send(Frontend.sync());
            client.raw.query("SELECT 'next'");
            client.assertCancelled();
            holder.raw.query("COMMIT").awaitReady();
            assertEquals("next", client.value());
            client.assertGoesOn();
        }
    }

    @Test
    void givenListenerWhoseWriterIsLost_whenCancelled_thenItsQueryEndsAndItGoesOnListening() throws Exception {
        try (Client listener = new Client()) {
            String pinned = "spg99_session_pinned_total{reason=\"listen\"} ";
            assertTrue(gateway.metrics.scrape().contains(pinned + "0.0"));
            listener.raw.query("LISTEN news").awaitReady();
            Awaitility.await("the listener to be known as one")
                    .until(() -> gateway.metrics.scrape().contains(pinned + "1.0"));
            gateway.databases.revoke(LeaseEvent.Reason.WRITER_LOST);
            // It has not asked for anything.
            cancel(Asked.THE_SAME, listener.key);
            listener.raw.query("SELECT 1 / 0");
            listener.awaitNotice();
            cancel(Asked.THE_SAME, listener.key);
            listener.assertCancelled();
            gateway.databases.awake();
            listener.assertGoesOn();
            listener.raw.query("NOTIFY news, 'still'");
            listener.await('A');
        }
    }

    @ParameterizedTest
    @EnumSource
    void givenKeysThatAreNotTheSessions_whenCancelled_thenNothingHappens(Asked asked) throws Exception {
        Client gone = new Client();
        gone.close();
        Awaitility.await("the session to be gone")
                .until(() -> gateway.metrics.scrape().contains("spg99_lease_active 0.0"));
        try (Client client = new Client()) {
            client.raw.query("SELECT pg_sleep(3), 'whole'");
            awaitRunning("SELECT pg_sleep(3), 'whole'");
            int processId = client.key[0];
            int secret = client.key[1];
            cancel(asked, gone.key);
            cancel(asked, new int[] {processId, secret + 1});
            cancel(asked, new int[] {processId, ~secret});
            cancel(asked, new int[] {processId ^ 1, secret});
            cancel(asked, new int[] {processId ^ (1 << 25), secret});
            cancel(asked, new int[] {-processId, secret});
            cancel(asked, new int[] {0, 0});
            assertEquals("D", client.await('D').substring(0, 1));
            client.raw.awaitReady();
            client.assertGoesOn();
        }
    }

    private static void cancel(Asked asked, int[] key) throws Exception {
        int port = asked == Asked.THE_SAME ? gateway.server.port() : other.port();
        try (RawClient canceler = new RawClient(port)) {
            canceler.sslRequest().answer();
            canceler.startTls().packet(80877102, key[0], key[1]);
            assertTrue(canceler.closed());
        }
    }

    private static void awaitRunning(String sql) throws SQLException {
        try (Connection admin = postgres.adminOf(TestPostgres.DATABASE);
                PreparedStatement running = admin.prepareStatement(
                        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = ?")) {
            running.setString(1, sql);
            Awaitility.await(sql + " to run").atMost(Duration.ofSeconds(10)).until(() -> {
                ResultSet count = running.executeQuery();
                return count.next() && count.getInt(1) == 1;
            });
        }
    }

    /** Logged in. */
    private static final class Client implements AutoCloseable {
        private final RawClient raw = new RawClient(gateway.server.port());
        private final int[] key;

        Client() throws Exception {
            key = raw.logIn(TestPostgres.USER, TestPostgres.DATABASE, GatewayFixture.PASSWORD);
            raw.awaitReady();
        }

        /** The Gateway says that the query waits. */
        void awaitNotice() throws Exception {
            assertTrue(raw.message().startsWith("N"));
        }

        void assertCancelled() throws Exception {
            String error = raw.message();
            assertTrue(error.startsWith("E") && error.contains("C57014"), error);
            assertEquals("ZI", raw.message());
        }

        void assertGoesOn() throws Exception {
            raw.query("SELECT 'goes on'");
            assertEquals("goes on", value());
        }

        /** The only one of the answer. */
        String value() throws Exception {
            String row = await('D');
            raw.awaitReady();
            return new String(row.substring(7).getBytes(StandardCharsets.ISO_8859_1), StandardCharsets.UTF_8);
        }

        /** Skips messages before it; an error fails the test. */
        String await(char type) throws Exception {
            String message = raw.message();
            while (message.charAt(0) != type) {
                assertTrue(message.charAt(0) != 'E', message);
                message = raw.message();
            }
            return message;
        }

        @Override
        public void close() throws IOException {
            raw.close();
        }
    }
}
