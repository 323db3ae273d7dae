package io.spg99.compute.generation;

import static io.spg99.compute.testing.TestClients.ask;
import static io.spg99.compute.testing.TestClients.run;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.readthrough.ReadThroughFigures;
import io.spg99.storage.wal.Lsn;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** What a tenant finds in the extension spg99. */
class ExtensionTest {

    private static final ActorTestKit KIT = ActorTestKit.create();

    @AfterAll
    static void stopKit() {
        KIT.shutdownTestKit();
    }

    @Test
    void givenTenant_whenAskingTheExtension_thenItSaysWhatTheAgentKnows() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        TestDatabase.Run generation = database.start(2);
        try (Connection client = database.connect(generation.configured().writer())) {
            assertEquals(
                    "2 L1 " + database.base.timeline().value(),
                    ask(client, "SELECT concat_ws(' ', generation, profile, timeline) FROM spg99.status"));
            assertEquals(database.base.end().toString(), ask(client, "SELECT snapshot_lsn FROM spg99.status"));
            assertEquals(
                    "0 0 0 0 0 0 " + Profile.L1.cacheLimitBytes(),
                    ask(
                            client,
                            "SELECT concat_ws(' ', hits, misses, read_ahead, evictions, resident_bytes,"
                                    + " changed_bytes, limit_bytes) FROM spg99.cache"));
            run(client, "CREATE TABLE t AS SELECT 1 AS one");
            Lsn written = Lsn.parse(ask(client, "SELECT wal_lsn FROM spg99.status"));
            await("two Safekeepers have it")
                    .atMost(TestDatabase.PATIENCE)
                    .until(() -> Lsn.parse(ask(client, "SELECT quorum_lsn FROM spg99.status"))
                                    .compareTo(written)
                            >= 0);
            Lsn published = written.plus(8);
            generation.actor.tell(new GenerationCommand.SnapshotPublished(published));
            await("a new snapshot is told of")
                    .atMost(TestDatabase.PATIENCE)
                    .until(() ->
                            ask(client, "SELECT snapshot_lsn FROM spg99.status").equals(published.toString()));
        }
        assertTrue(generation.stop().orderly());
    }

    @Test
    void givenTenant_whenItWouldChangeTheExtension_thenDenied() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        TestDatabase.Run generation = database.start(2);
        try (Connection client = database.connect(generation.configured().writer())) {
            for (String sql : List.of(
                    "DROP EXTENSION spg99",
                    "CREATE TABLE spg99.t (i int)",
                    "CREATE OR REPLACE VIEW spg99.status AS SELECT 1",
                    "ALTER FUNCTION spg99.agent_status() RESET ALL",
                    "SELECT pg_read_file('spg99_status')")) {
                SQLException e = assertThrows(SQLException.class, () -> run(client, sql), sql);
                assertEquals("42501", e.getSQLState(), e.getMessage());
            }
            // The last object id that pg_dump takes for PostgreSQL's own, which is not dumped.
            assertEquals(
                    "true",
                    ask(client, "SELECT (oid < 16384)::text FROM pg_extension WHERE extname = 'spg99'"),
                    "a dump can be restored where there is no such extension");
            assertEquals(
                    "spg99",
                    ask(
                            client,
                            "SELECT n.nspname FROM pg_depend d JOIN pg_namespace n ON n.oid = d.objid"
                                    + " WHERE d.classid = 'pg_namespace'::regclass AND d.deptype = 'e'"),
                    "nor is its schema dumped");
        }
        assertTrue(generation.stop().orderly());
    }

    @Test
    void givenWhateverIsSaid_whenWritten_thenNothingButDigitsMoves() {
        AgentStatus small = new AgentStatus(2, "L1", "t", Lsn.ZERO, 0, ReadThroughFigures.NONE);
        long most = Long.MAX_VALUE;
        AgentStatus large = new AgentStatus(
                2,
                "L1",
                "t",
                Lsn.of(-1),
                most,
                new ReadThroughFigures(most, most, Duration.ZERO, most, most, most, most, most, most, most));

        assertEquals(small.json().replaceAll("[ 0-9]", "#"), large.json().replaceAll("[ 0-9]", "#"));
    }
}
