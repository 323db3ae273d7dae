package io.spg99.compute.generation;

import static io.spg99.compute.testing.TestClients.ask;
import static io.spg99.compute.testing.TestClients.run;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.spg99.compute.testing.TestSafekeeper;
import io.spg99.storage.safekeeper.WriterAddress;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Rule W8, inside one writer whose Safekeepers come and go. */
class GuardTest {

    private static final ActorTestKit KIT = ActorTestKit.create();
    private static final Duration WHILE = Duration.ofMillis(400);
    private static final Duration SOON = Duration.ofSeconds(5);

    private static TestDatabase database;
    private static TestDatabase.@Nullable Run generation;
    private static WriterAddress writer;

    private Connection client;
    private Connection observer;

    @BeforeAll
    static void startWriter() throws Exception {
        database = new TestDatabase(KIT);
        assumeTrue(database.node().guarded(), "the guard was not built: no C compiler");
        TestDatabase.Run started = database.start(2);
        generation = started;
        writer = started.configured().writer();
        try (Connection connection = database.connect(writer)) {
            run(connection, "CREATE TABLE ledger (n int)");
            run(
                    connection,
                    "CREATE FUNCTION quick() RETURNS void LANGUAGE sql SET synchronous_commit = off"
                            + " AS 'INSERT INTO ledger VALUES (1)'");
        }
    }

    @AfterAll
    static void stopWriter() {
        if (generation != null) {
            generation.actor.tell(GenerationCommand.Kill.INSTANCE);
            generation.ended();
        }
        KIT.shutdownTestKit();
    }

    @BeforeEach
    void connect() throws Exception {
        client = database.connect(writer);
        observer = database.connect(writer);
        run(observer, "TRUNCATE ledger");
        loseQuorum();
    }

    @AfterEach
    void disconnect() throws Exception {
        client.close();
        observer.close();
        regainQuorum();
    }

    private static void loseQuorum() throws Exception {
        for (TestSafekeeper safekeeper : database.safekeepers) {
            safekeeper.stop();
        }
    }

    private static void regainQuorum() {
        database.follow(2, writer);
    }

    private CompletableFuture<Void> commitWaiting(String... statements) throws SQLException {
        String pid = ask(client, "SELECT pg_backend_pid()");
        CompletableFuture<Void> commit = CompletableFuture.runAsync(() -> {
            try (Statement statement = client.createStatement()) {
                for (String sql : statements) {
                    statement.execute(sql);
                }
            } catch (SQLException e) {
                throw new IllegalStateException(e);
            }
        });
        await("the commit waits for the quorum")
                .atMost(SOON)
                .until(() ->
                        "SyncRep".equals(ask(observer, "SELECT wait_event FROM pg_stat_activity WHERE pid = " + pid)));
        return commit;
    }

    private String backend() throws SQLException {
        return ask(observer, "SELECT pid FROM pg_stat_activity WHERE query LIKE 'INSERT%' AND pid <> pg_backend_pid()");
    }

    private void assertInvisible(CompletableFuture<Void> commit) {
        await("the row stays invisible without the quorum")
                .during(WHILE)
                .atMost(SOON)
                .until(() -> {
                    assertFalse(commit.isDone(), "the commit has not returned");
                    return "0".equals(ask(observer, "SELECT count(*) FROM ledger"));
                });
    }

    private void assertVisible() throws SQLException {
        await("the row is visible").atMost(SOON).until(() -> "1".equals(ask(observer, "SELECT count(*) FROM ledger")));
    }

    @Test
    void givenCommitWaitingForQuorum_whenCancelled_thenItStaysInvisibleUntilTheQuorumHasIt() throws Exception {
        CompletableFuture<Void> commit = commitWaiting("INSERT INTO ledger VALUES (1)");

        assertEquals("t", ask(observer, "SELECT pg_cancel_backend(" + backend() + ")"));

        assertInvisible(commit);
        regainQuorum();
        commit.get(5, TimeUnit.SECONDS);
        assertVisible();
    }

    @Test
    void givenCommitWaitingForQuorum_whenCancelRequestArrives_thenItStaysInvisibleUntilTheQuorumHasIt()
            throws Exception {
        String pid = ask(client, "SELECT pg_backend_pid()");
        Statement statement = client.createStatement();
        CompletableFuture<Void> commit = CompletableFuture.runAsync(() -> {
            try {
                statement.execute("INSERT INTO ledger VALUES (1)");
            } catch (SQLException e) {
                throw new IllegalStateException(e);
            }
        });
        await("the commit waits for the quorum")
                .atMost(SOON)
                .until(() ->
                        "SyncRep".equals(ask(observer, "SELECT wait_event FROM pg_stat_activity WHERE pid = " + pid)));

        statement.cancel();

        assertInvisible(commit);
        regainQuorum();
        commit.get(5, TimeUnit.SECONDS);
        assertVisible();
    }

    @Test
    void givenCommitWaitingForQuorum_whenTerminated_thenConnectionEndsOnlyOnceTheQuorumHasIt() throws Exception {
        CompletableFuture<Void> commit = commitWaiting("INSERT INTO ledger VALUES (1)");

        assertEquals("t", ask(observer, "SELECT pg_terminate_backend(" + backend() + ")"));

        assertInvisible(commit);
        regainQuorum();
        assertThrows(ExecutionException.class, () -> commit.get(5, TimeUnit.SECONDS), "the outcome is unknown to it");
        assertVisible();
    }

    @Test
    void givenSynchronousCommitOff_whenCommitting_thenItWaitsAllTheSame() throws Exception {
        CompletableFuture<Void> commit = commitWaiting("SET synchronous_commit = off", "INSERT INTO ledger VALUES (1)");

        assertInvisible(commit);
        regainQuorum();
        commit.get(5, TimeUnit.SECONDS);
        assertVisible();
        assertEquals("on", ask(client, "SHOW synchronous_commit"));
    }

    @Test
    void givenSetLocal_whenCommitting_thenItWaitsAllTheSame() throws Exception {
        CompletableFuture<Void> commit = commitWaiting(
                "BEGIN", "SET LOCAL synchronous_commit = local", "INSERT INTO ledger VALUES (1)", "COMMIT");

        assertInvisible(commit);
        regainQuorum();
        commit.get(5, TimeUnit.SECONDS);
        assertVisible();
    }

    @Test
    void givenFunctionThatSetsIt_whenCommitting_thenItWaitsAllTheSame() throws Exception {
        CompletableFuture<Void> commit = commitWaiting("SELECT quick()");

        assertInvisible(commit);
        regainQuorum();
        commit.get(5, TimeUnit.SECONDS);
        assertVisible();
    }

    @Test
    void givenAnyAcceptedWord_whenSet_thenItMeansOn() throws Exception {
        for (String word :
                new String[] {"local", "remote_write", "remote_apply", "on", "off", "true", "false", "1", "0"}) {
            run(client, "SET synchronous_commit = '" + word + "'");
            assertEquals("on", ask(client, "SHOW synchronous_commit"));
        }
        assertThrows(SQLException.class, () -> run(client, "SET synchronous_commit = 'sometimes'"));
        assertTrue(ask(client, "SELECT enumvals FROM pg_settings WHERE name = 'synchronous_commit'")
                .contains("on"));
    }
}
