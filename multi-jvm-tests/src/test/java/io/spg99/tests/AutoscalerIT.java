package io.spg99.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import io.spg99.storage.file.FileTree;
import io.spg99.tests.ledger.Ledger;
import io.spg99.tests.process.ApiClient;
import io.spg99.tests.process.DevProcess;
import io.spg99.tests.process.EventFollower;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

/** Nobody asks for anything: load alone moves a database up, idleness down and to sleep. */
class AutoscalerIT {

    private static final Duration LIMIT = Duration.ofSeconds(90);

    /** Seconds instead of minutes, one profile at a time, and profiles so small that any load is too much for L1 and L2. */
    private static final String[] QUICK = {
        "-Dspg99.lifecycle.autoscaler.up-after=2s",
        "-Dspg99.lifecycle.autoscaler.down-after=3s",
        "-Dspg99.lifecycle.autoscaler.room-at=10",
        "-Dspg99.lifecycle.handoff.cooldown=200ms",
        "-Dspg99.compute.profiles.L1.cpus=0.1",
        "-Dspg99.compute.profiles.L2.cpus=0.2"
    };

    @Test
    @EnabledIfSystemProperty(named = "spg99.long", matches = "true", disabledReason = "40 s: mvn verify -Plong")
    void givenALoadThatComesAndGoes_thenUpToL3AndBackToL1AndStoppedAndNoTransactionIsLost() throws Exception {
        Path directory = DevProcess.temporaryDirectory();
        try (DevProcess dev = DevProcess.start(directory.resolve("data"), QUICK);
                EventFollower events = dev.api().follow()) {
            ApiClient api = dev.api();
            String path = "/v2/tenants/" + dev.get("tenant") + "/dbs/" + dev.get("database");
            String id = api.get(path).body().path("id").asText();
            change(dev, path, "{\"autoscale\":true,\"max_profile\":\"L3\",\"idle_timeout\":\"never\"}");
            Ledger ledger = new Ledger(dev.jdbcUrl(), dev.user(), dev.password());
            ledger.createTable();
            ledger.start(8);
            await(dev, json -> "L3".equals(json.path("current_profile").asText()));
            ledger.stop();
            await(
                    dev,
                    json -> "L1".equals(json.path("current_profile").asText())
                            && "STEADY".equals(json.path("scale_state").asText()));
            change(dev, path, "{\"idle_timeout\":\"1s\"}");
            await(dev, json -> "stopped".equals(json.path("state").asText()));
            Awaitility.await("the last event")
                    .atMost(Duration.ofSeconds(10))
                    .until(() -> states(events, id).endsWith("stopped"));
            assertEquals("booting ready stopping stopped", states(events, id));
            events.assertHandoffsInOrder(id);
            assertEquals(List.of("L1 to L2", "L2 to L3", "L3 to L2", "L2 to L1"), changes(events, id));
            assertEquals(Map.of(), ledger.failures());
            ledger.verify();
        } finally {
            FileTree.delete(directory);
        }
    }

    private static void change(DevProcess dev, String path, String fields) {
        assertEquals(200, dev.api().call("PATCH", path, fields).status());
    }

    private static void await(DevProcess dev, Predicate<JsonNode> wanted) {
        dev.api().awaitDatabase(dev.get("tenant"), dev.get("database"), LIMIT, wanted);
    }

    private static String states(EventFollower events, String id) {
        return String.join(
                " ",
                events.steps(id, "state").stream().map(EventFollower.Step::to).toList());
    }

    /** As the reasons of handoffs begin, each of which must be the autoscaler's. */
    private static List<String> changes(EventFollower events, String id) {
        return events.steps(id, "scale_state").stream()
                .filter(step -> step.from().equals("STEADY"))
                .map(step -> step.reason().split(": autoscaler: ", 2)[0])
                .toList();
    }
}
