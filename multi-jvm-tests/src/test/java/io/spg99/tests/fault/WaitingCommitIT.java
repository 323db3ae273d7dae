package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Rule W8 from end to end: what may happen, through the Gateway, to a commit that waits for the quorum. */
@ExtendWith(SharedPlatform.class)
class WaitingCommitIT {

    private static final Duration WHILE = Duration.ofMillis(500);
    private static final Duration SOON = Duration.ofSeconds(30);

    private static final String WAITING = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'INSERT%'";

    private final Platform platform;
    private TestDatabase database;
    private Connection client;
    private Connection observer;

    WaitingCommitIT(Platform platform) {
        this.platform = platform;
    }

    @BeforeEach
    void connect() throws Exception {
        database = platform.createDatabase();
        database.execute("CREATE TABLE waiting (n int)");
        client = database.connect();
        observer = database.connect();
    }

    @AfterEach
    void disconnect() throws Exception {
        regainQuorum();
        client.close();
        observer.close();
    }

    private void loseQuorum() throws IOException {
        platform.safekeeper("sk1").freeze();
        platform.safekeeper("sk2").freeze();
    }

    private void regainQuorum() throws IOException {
        platform.safekeeper("sk1").thaw();
        platform.safekeeper("sk2").thaw();
    }

    /** @return the SQLSTATE that the client is told; null if its commit is acknowledged */
    private static CompletableFuture<@Nullable String> insert(Statement statement) {
        return CompletableFuture.supplyAsync(
                () -> {
                    try {
                        statement.execute("INSERT INTO waiting VALUES (1)");
                        return null;
                    } catch (SQLException e) {
                        return String.valueOf(e.getSQLState());
                    }
                },
                work -> Thread.ofPlatform().daemon().name("waiting").start(work));
    }

    private long ask(String query) throws SQLException {
        try (Statement statement = observer.createStatement();
                ResultSet row = statement.executeQuery(query)) {
            row.next();
            return row.getLong(1);
        }
    }

    private void awaitWaiting() {
        Awaitility.await("the commit waits for the quorum")
                .atMost(SOON)
                .until(() -> ask("SELECT count(*) " + WAITING) == 1);
    }

    private void assertInvisible() {
        Awaitility.await("the row stays invisible without the quorum")
                .during(WHILE)
                .atMost(SOON)
                .until(() -> ask("SELECT count(*) FROM waiting") == 0);
    }

    private void assertVisibleSoon() {
        Awaitility.await("the row is visible").atMost(SOON).until(() -> ask("SELECT count(*) FROM waiting") == 1);
    }

    @Test
    void givenACommitThatWaits_whenItsClientCancels_thenItGoesOnWaitingAndIsAcknowledged() throws Exception {
        loseQuorum();
        try (Statement statement = client.createStatement()) {
            CompletableFuture<@Nullable String> answer = insert(statement);
            awaitWaiting();

            statement.cancel();

            assertInvisible();
            assertTrue(!answer.isDone(), "answered without the quorum");
            regainQuorum();
            assertNull(answer.get(SOON.toSeconds(), TimeUnit.SECONDS));
            assertVisibleSoon();
        }
    }

    @Test
    void givenACommitThatWaits_whenItsBackendIsTerminated_thenItsClientIsToldThatTheOutcomeIsUnknown()
            throws Exception {
        loseQuorum();
        try (Statement statement = client.createStatement()) {
            CompletableFuture<@Nullable String> answer = insert(statement);
            awaitWaiting();

            assertEquals(1, ask("SELECT count(pg_terminate_backend(pid)) " + WAITING));

            assertInvisible();
            regainQuorum();
            assertEquals("08007", answer.get(SOON.toSeconds(), TimeUnit.SECONDS));
            assertVisibleSoon();
        }
    }

    @Test
    void givenACommitThatWaits_whenItsClientVanishes_thenItIsInvisibleUntilTheQuorumHasIt() throws Exception {
        loseQuorum();
        try (Statement statement = client.createStatement()) {
            CompletableFuture<@Nullable String> answer = insert(statement);
            awaitWaiting();

            // Cuts the socket under the statement.
            client.abort(Runnable::run);

            assertTrue(answer.get(SOON.toSeconds(), TimeUnit.SECONDS) != null, "acknowledged without the quorum");
            assertInvisible();
            regainQuorum();
            assertVisibleSoon();
        }
    }

    @Test
    void givenACommitThatWaits_whenTheWriterIsLost_thenItIsThereOrNotButNeverAcknowledged() throws Exception {
        loseQuorum();
        try (Statement statement = client.createStatement()) {
            CompletableFuture<@Nullable String> answer = insert(statement);
            awaitWaiting();
            long generation = database.generation();

            assertTrue(ProcessHandle.of(database.postmaster()).orElseThrow().destroyForcibly());

            assertEquals("08007", answer.get(SOON.toSeconds(), TimeUnit.SECONDS));
            regainQuorum();
            database.number("SELECT 1");
            assertTrue(database.generation() > generation);
            assertTrue(List.of(0L, 1L).contains(database.number("SELECT count(*) FROM waiting")));
        }
    }
}
