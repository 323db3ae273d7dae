package io.spg99.nodes.pageserver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.snapshot.Manifest;
import java.sql.Connection;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Snapshots by real PostgreSQL over the WAL of real writers. */
class RedoWorkerTest {

    private static TestTimelines timelines;

    @BeforeAll
    static void begin() throws Exception {
        timelines = new TestTimelines();
    }

    @AfterAll
    static void end() throws Exception {
        timelines.close();
    }

    @Test
    void givenAWriterThatStopped_whenRedoRuns_thenTheNextStartsOnTheSnapshotWithNothingToReplay() throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline();
        timeline.start();
        Map<String, String> before;
        try (Connection connection = timeline.connect()) {
            Workload.create(connection);
            new Workload(1).change(connection, 0);
            before = Workload.fingerprint(connection);
        }
        timeline.stop();

        QuorumReply.Prepared prepared = timeline.prepare();
        Manifest snapshot = timelines
                .redoWorker(timelines.objects)
                .advance(timeline.job(prepared))
                .orElseThrow();

        assertEquals(prepared.end(), snapshot.end(), "an orderly stop ends with a checkpoint record");
        assertTrue(prepared.end().minus(snapshot.redo()) < 200, "nothing to replay: redo=" + snapshot.redo());
        timeline.start(prepared);
        try (Connection connection = timeline.connect()) {
            assertEquals(before, Workload.fingerprint(connection));
            Workload.check(connection);
        }
        timeline.kill();
    }
}
