package io.spg99.tests.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.storage.file.FileTree;
import io.spg99.tests.ledger.Ledger;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.GenerationNodeProcess;
import io.spg99.tests.process.PostgresProcesses;
import io.spg99.tests.process.ProcessSignal;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Two nodes, each a JVM of its own: a writer moves from one to the other, and either is lost. */
@ExtendWith(SharedPlatform.class)
class OtherNodeIT {

    private static final Duration SOON = Duration.ofSeconds(20);

    private final Platform platform;
    private final Path other;

    OtherNodeIT(Platform platform) throws IOException {
        this.platform = platform;
        this.other = DevProcess.temporaryDirectory();
    }

    @AfterEach
    void remove() throws IOException {
        FileTree.delete(other);
    }

    private boolean runsHere(TestDatabase database) {
        return !PostgresProcesses.ofDatabase(platform.data(), database.id()).isEmpty();
    }

    private boolean runsThere(TestDatabase database) {
        return !PostgresProcesses.ofDatabase(other, database.id()).isEmpty();
    }

    /** What a database that has left a node left there. */
    private void awaitNothing(Path directory, TestDatabase database) {
        Awaitility.await("nothing of the database is left below " + directory)
                .atMost(SOON)
                .until(() -> PostgresProcesses.ofDatabase(directory, database.id())
                                .isEmpty()
                        && !Files.exists(
                                directory.resolve("postgres").resolve("run").resolve(database.id())));
    }

    private static JsonNode move(TestDatabase database, String profile) {
        database.scale(profile);
        return database.awaitProfile(profile);
    }

    @Test
    void givenClientsAtWorkOverAWriterOnTheOtherNode_whenEitherNodeIsLost_thenOneWriterServesAndNothingIsLost()
            throws Exception {
        TestDatabase database = platform.createDatabase();
        try (GenerationNodeProcess node = platform.startGenerationNode(other, List.of());
                Ledger ledger = database.openLedger(8, 100)) {
            move(database, "L2");
            assertTrue(runsThere(database));
            ledger.awaitProgress(100);
            assertEquals(Map.of(), ledger.failures());

            if (Rounds.all()) {
                loseTheProgram(database, ledger);
            }
            long generation = database.generation();
            node.kill();
            database.awaitReadyAfter(generation);
            assertTrue(runsHere(database));
            ledger.awaitProgress(100);
            Awaitility.await("its servers end with it")
                    .atMost(SOON)
                    .until(() -> PostgresProcesses.workingBelow(other).isEmpty());
            ledger.stop();
            ledger.verify();
        }
    }

    /** Those who take its place know nothing of what it had on the other node, which ends that and joins them. */
    private void loseTheProgram(TestDatabase database, Ledger ledger) throws Exception {
        platform.killDev();
        int log = platform.log().length();
        platform.startDev();
        awaitNothing(other, database);
        ledger.awaitProgress(100);
        platform.awaitGenerationNode(log);
        move(database, "L3");
        assertTrue(runsThere(database));
        ledger.awaitProgress(100);
    }

    @Test
    void givenAWriterOnTheOtherNode_whenItIsStoppedOrDeletedOrItsNodeLeaves_thenNothingIsLeftThere() throws Exception {
        TestDatabase deleted = platform.createDatabase();
        TestDatabase database = platform.createDatabase();
        database.execute("CREATE TABLE counted (n int)");
        try (GenerationNodeProcess node = platform.startGenerationNode(other, List.of())) {
            deleted.scale("L2");
            move(database, "L2");
            database.execute("INSERT INTO counted SELECT generate_series(1, 1000)");
            database.stop();
            awaitNothing(other, database);
            // What a writer leaves at an orderly stop is found here.
            assertEquals(1000, database.number("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'counted'"));
            assertTrue(runsHere(database));

            database.scale("L3");
            database.awaitScaleState("PREPARING");
            database.stop();
            awaitNothing(other, database);
            awaitNothing(platform.data(), database);

            deleted.awaitProfile("L2");
            assertTrue(runsThere(deleted));
            platform.dev().api().delete("/v2/tenants/" + deleted.tenant() + "/dbs/app?force=true");
            awaitNothing(other, deleted);

            assertEquals(1000, database.number("SELECT count(*) FROM counted"));
            long generation = move(database, "L1").path("generation").asLong();
            assertTrue(runsThere(database));
            node.stop();
            assertEquals(List.of(), PostgresProcesses.workingBelow(other));
            assertEquals(1000, database.number("SELECT count(*) FROM counted"));
            assertTrue(database.generation() > generation);
        }
    }

    /** Only the node sees its directory, its Unix sockets included: clients and Safekeepers come by TCP. */
    @Test
    void givenANodeWhoseDiskIsFull_whenACandidateFollowsThere_thenTheWriterServesOnAndTheNextOneTakesOver()
            throws Exception {
        SmallDisk.assumePossible();
        Path logs = Files.createDirectory(platform.data().resolve("other-node-logs"));
        TestDatabase database = platform.createDatabase();
        database.execute("CREATE TABLE big (filler text)");
        try (GenerationNodeProcess node =
                        platform.startGenerationNode(other, SmallDisk.wrapper(other, logs, DISK_MEGABYTES));
                Ledger ledger = database.openLedger(4, 50);
                Connection load = database.connect();
                Statement statement = load.createStatement()) {
            // Idle in it: no handoff before it has ended.
            load.setAutoCommit(false);
            statement.execute("INSERT INTO big VALUES ('first')");
            database.scale("L2");
            database.await(json -> json.path("scale_failure_reason").asText().contains("transaction"));
            assertTrue(runsThere(database));
            Path filler = SmallDisk.seenBy(node.pid(), other).resolve("filler");
            SmallDisk.Filler full = SmallDisk.fill(filler);
            statement.execute("INSERT INTO big SELECT repeat(md5(g::text), 30) FROM generate_series(1, 20000) g");
            database.await(json -> json.path("scale_failure_reason").asText().contains("No space left on device"));
            ledger.awaitProgress(50);
            load.commit();
            JsonNode after = database.awaitProfile("L2");
            assertTrue(after.path("scale_failure_reason").isNull(), after::toString);
            assertFalse(runsThere(database), "the next candidate was tried elsewhere");
            full.end();

            move(database, "L3");
            assertTrue(runsThere(database), "there is room again");
            assertFalse(Files.exists(other.resolve("postgres")), "nobody else sees its files");
            ledger.awaitProgress(50);
            move(database, "L4");
            assertTrue(runsHere(database), "back again");
            ledger.awaitProgress(50);
            assertEquals(Map.of(), ledger.failures());
            if (Rounds.all()) {
                move(database, "L5");
                freezeAndThaw(node, database);
                ledger.awaitProgress(50);
            }
            ledger.stop();
            ledger.verify();
            assertEquals(20_001, database.number("SELECT count(*) FROM big"));
        } finally {
            FileTree.delete(logs);
        }
    }

    private static final int DISK_MEGABYTES = 300;

    /** The node, not its PostgreSQL servers: those go on, and reach nobody. */
    private void freezeAndThaw(GenerationNodeProcess node, TestDatabase database) throws Exception {
        long generation = database.generation();
        ProcessSignal.STOP.send(node.pid());
        try {
            database.awaitReadyAfter(generation);
            assertTrue(runsThere(database));
            assertTrue(runsHere(database));
        } finally {
            ProcessSignal.CONT.send(node.pid());
        }
        Awaitility.await("the node ends what nobody owns any more").atMost(SOON).until(() -> !runsThere(database));
    }
}
