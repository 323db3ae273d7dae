package io.spg99.compute.generation;

import static io.spg99.compute.testing.TestClients.ask;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.spg99.storage.postgres.PgControl;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.util.List;
import java.util.Optional;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

class SpareServersTest {

    private static final ActorTestKit KIT = ActorTestKit.create();

    @AfterAll
    static void stopKit() {
        KIT.shutdownTestKit();
    }

    private static ProcessHandle waiting(ComputeNode node) {
        return await("a server waits")
                .until(node::waitingServer, Optional::isPresent)
                .flatMap(ProcessHandle::of)
                .orElseThrow();
    }

    private static List<String> postmasterFile(Path pgdata) throws IOException {
        return Files.readAllLines(pgdata.resolve("postmaster.pid"));
    }

    private static ComputeNode warm(TestDatabase database) throws IOException {
        ComputeNode node = database.node();
        assumeTrue(node.guarded(), "the guard was not built: no C compiler");
        node.warmUp(database.image);
        return node;
    }

    @Test
    void givenWaitingServer_whenGenerationsStart_thenItIsTheirsWithTheirNameAndIdentity() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        try (ComputeNode node = warm(database)) {
            for (int generation : new int[] {2, 3}) {
                ProcessHandle spare = waiting(node);
                TestDatabase.Run run = database.start(generation, node);
                TestDatabase.Serving serving = run.configured();
                Path pgdata = database.run.resolve(database.id).resolve(Integer.toString(generation));

                try (Connection client = database.connect(serving.writer())) {
                    assertEquals(Optional.of(spare.pid()), TestDatabase.postmaster(pgdata));
                    assertEquals(
                            Long.toString(database.base.systemIdentifier()),
                            ask(client, "SELECT system_identifier FROM pg_control_system()"));
                    assertEquals(pgdata.toString(), postmasterFile(pgdata).get(1));
                    assertEquals(
                            Integer.toString(serving.writer().port()),
                            postmasterFile(pgdata).get(3));
                    assertEquals(
                            database.base.systemIdentifier(),
                            PgControl.read(pgdata).systemIdentifier());
                }
                assertTrue(run.stop().orderly());
                assertFalse(Files.exists(pgdata));
            }
        }
    }

    @Test
    void givenWaitingServerWasKilled_whenGenerationStarts_thenItHasAnother() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        try (ComputeNode node = warm(database)) {
            ProcessHandle spare = waiting(node);
            spare.destroyForcibly();
            spare.onExit().join();

            TestDatabase.Run run = database.start(2, node);

            run.configured();
            assertNotEquals(
                    Optional.of(spare.pid()),
                    TestDatabase.postmaster(database.run.resolve(database.id).resolve("2")));
            assertTrue(run.stop().orderly());
        }
    }

    @Test
    void givenTwoNodesInOneRunDirectory_whenServersWait_thenNeitherDisturbsTheOther() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        try (ComputeNode first = warm(database)) {
            ProcessHandle spare = waiting(first);
            try (ComputeNode second = warm(database)) {
                assertNotEquals(spare.pid(), waiting(second).pid());
                assertTrue(spare.isAlive(), "killed by the other's");
            }
            assertTrue(spare.isAlive(), "killed with the other's");

            TestDatabase.Run run = database.start(2, first);

            run.configured();
            assertEquals(
                    Optional.of(spare.pid()),
                    TestDatabase.postmaster(database.run.resolve(database.id).resolve("2")));
            assertTrue(run.stop().orderly());
        }
    }

    @Test
    void givenWaitingServer_whenNodeCloses_thenNothingIsLeft() throws Exception {
        TestDatabase database = new TestDatabase(KIT);
        ProcessHandle spare;
        try (ComputeNode node = warm(database)) {
            spare = waiting(node);
        }
        assertFalse(spare.isAlive());
        assertFalse(Files.exists(database.run.resolve(".spare")));
    }
}
