package io.spg99.compute.generation;

import static io.spg99.compute.testing.TestClients.ask;
import static io.spg99.compute.testing.TestClients.run;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.compute.testing.TestSafekeeper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.util.List;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

class ComputeGenerationTest {

    private static final ActorTestKit KIT = ActorTestKit.create();

    @AfterAll
    static void stopKit() {
        KIT.shutdownTestKit();
    }

    private static final String TLI =
            "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int";

    @Test
    void givenStoppedDatabase_whenNextGenerationsStart_thenDataIsThereAndTliIsTheGeneration() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        int rows = 0;
        for (int generation : new int[] {2, 3, 7}) {
            TestDatabase.Run generationRun = database.start(generation);
            TestDatabase.Serving configured = generationRun.configured();
            assertEquals(
                    generation == 2
                            ? List.of("image", "wal", "postgres", "configure")
                            : List.of("image", "wal", "postgres"),
                    List.copyOf(configured.phases().keySet()));
            try (Connection client = database.connect(configured.writer())) {
                assertEquals(Integer.toString(generation), ask(client, TLI));
                run(client, "CREATE TABLE IF NOT EXISTS ledger (n int)");
                assertEquals(Integer.toString(rows), ask(client, "SELECT count(*) FROM ledger"));
                run(client, "INSERT INTO ledger SELECT generate_series(1, 1000)");
                rows += 1000;
            }
            GenerationEvent.Ended ended = generationRun.stop();
            assertTrue(ended.orderly(), ended.reason());
            assertFalse(Files.exists(database.run.resolve(database.id)), "PGDATA is removed");
        }
    }

    @Test
    void givenAStart_whenItHasServedForAMoment_thenAutovacuumRuns() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        TestDatabase.Run generation = database.start(2);
        Path socket = generation.configured().writer().socket().orElseThrow();
        // A tenant does not see what kind of process another role's is.
        try (Connection agent = ManagedConfiguration.connect(socket)) {
            String launchers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum launcher'";
            await().until(() -> ask(agent, launchers).equals("1")
                    && ask(agent, "SHOW autovacuum").equals("on"));
        }
        generation.stop();
    }

    @Test
    void givenAsynchronousCommits_whenHandedOver_thenTheSafekeepersHaveThemAndTheServerEnds() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        TestDatabase.Run writer = database.start(2);
        TestDatabase.Serving serving = writer.configured();
        try (Connection client = database.connect(serving.writer())) {
            run(client, "CREATE TABLE ledger (n int)");
            writer.actor.tell(GenerationCommand.PrepareHandOver.INSTANCE);
            writer.await(GenerationEvent.HandOverPrepared.class);
            run(client, "SET synchronous_commit = off");
            run(client, "INSERT INTO ledger SELECT generate_series(1, 1000)");
            writer.actor.tell(GenerationCommand.HandOver.INSTANCE);
            writer.await(GenerationEvent.HandedOver.class);
        }
        writer.await(GenerationEvent.Ended.class);
        for (TestSafekeeper safekeeper : database.safekeepers) {
            safekeeper.awaitEnd();
        }
        database.advance(2, database.safekeepers.getFirst().flushed());
        TestDatabase.Run next = database.start(3);
        try (Connection client = database.connect(next.configured().writer())) {
            assertEquals("1000", ask(client, "SELECT count(*) FROM ledger"));
        }
        next.stop();
    }
}
