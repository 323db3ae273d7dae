package io.spg99.nodes.pageserver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.object.S3ObjectStore;
import io.spg99.storage.object.S3Settings;
import io.spg99.storage.postgres.PostgresProcess;
import io.spg99.storage.quorum.QuorumReply;
import io.spg99.storage.readthrough.ReadThroughSettings;
import java.io.File;
import java.net.InetAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.sql.Connection;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/** Redo and computes with object storage behind S3's protocol, by a server in a process of its own. */
@EnabledIfSystemProperty(named = "spg99.long", matches = "true")
class S3RedoTest {

    @TempDir
    Path directory;

    @Test
    void givenSnapshotsInABucket_whenGenerationsStartOnThem_thenNothingIsLost() throws Exception {
        int port = PostgresProcess.freePort(InetAddress.getLoopbackAddress());
        URI endpoint = URI.create("http://127.0.0.1:" + port);
        Process server = start(port);
        try (TestTimelines timelines = new TestTimelines();
                HttpClient client = HttpClient.newHttpClient();
                S3ObjectStore bucket = new S3ObjectStore(new S3Settings(
                        Optional.of(endpoint),
                        "us-east-1",
                        "spg99",
                        "platform",
                        Optional.of(new S3Settings.Credentials("key", "secret"))))) {
            HttpRequest make = HttpRequest.newBuilder(endpoint.resolve("/spg99"))
                    .PUT(HttpRequest.BodyPublishers.noBody())
                    .build();
            Awaitility.await("the server answers")
                    .atMost(Duration.ofSeconds(90))
                    .ignoreExceptions()
                    .until(() -> client.send(make, HttpResponse.BodyHandlers.discarding())
                                    .statusCode()
                            == 200);
            generations(timelines, bucket);
        } finally {
            server.destroyForcibly();
        }
    }

    private Process start(int port) throws Exception {
        String jar = Stream.of(System.getProperty("java.class.path").split(File.pathSeparator, -1))
                .filter(path -> path.contains("s3mock"))
                .findFirst()
                .orElseThrow();
        return new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-jar",
                        jar,
                        "--com.adobe.testing.s3mock.httpPort=" + port,
                        "--com.adobe.testing.s3mock.store.root=" + directory.resolve("buckets"),
                        "--server.port=" + PostgresProcess.freePort(InetAddress.getLoopbackAddress()))
                .directory(directory.toFile())
                .redirectErrorStream(true)
                .redirectOutput(directory.resolve("server.log").toFile())
                .start();
    }

    private static void generations(TestTimelines timelines, S3ObjectStore bucket) throws Exception {
        TestTimelines.Timeline timeline = timelines.timeline(bucket, ReadThroughSettings.DEFAULT);
        RedoWorker worker = timelines.redoWorker(bucket);
        Workload workload = new Workload(6);
        Map<String, String> before = Map.of();
        for (int round = 0; round < 4; round++) {
            QuorumReply.Prepared prepared = timeline.prepare();
            if (round > 0) {
                assertTrue(worker.advance(timeline.job(prepared)).newest().isPresent());
            }
            timeline.start(prepared);
            try (Connection connection = timeline.connect()) {
                if (round == 0) {
                    Workload.create(connection);
                } else {
                    assertEquals(before, Workload.fingerprint(connection));
                    Workload.check(connection);
                }
                workload.change(connection, round);
                before = Workload.fingerprint(connection);
            }
            if (round % 2 == 0) {
                timeline.stop();
            } else {
                timeline.kill();
            }
        }
        assertTrue(
                !bucket.list("timelines/" + timeline.base.timeline() + "/layers/")
                        .isEmpty(),
                "layers in the bucket");
    }
}
