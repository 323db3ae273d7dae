package io.spg99.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.spg99.storage.file.FileTree;
import io.spg99.tests.process.DevProcess;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

class BulkLoadIT {

    @Test
    @EnabledIfSystemProperty(named = "spg99.long", matches = "true", disabledReason = "15 s: mvn verify -Plong")
    void givenALoadThatOutrunsTheSafekeepers_whenItCommits_thenItsWalIsRemovedAndAllOfItIsThereAfterAWake()
            throws Exception {
        Path directory = DevProcess.temporaryDirectory();
        try (DevProcess dev = DevProcess.start(directory.resolve("data"))) {
            assertEquals(1, BulkLoad.number(dev, "SELECT 1"));
            BulkLoad load = new BulkLoad(dev);

            load.run();
            load.awaitWalRemoved();
            dev.api().stop(dev.get("tenant"), dev.get("database"));

            load.verify();
        } finally {
            FileTree.delete(directory);
        }
    }
}
