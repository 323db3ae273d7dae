package io.spg99.storage.object;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.EOFException;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Against a server that speaks S3's protocol, in a process of its own. That of two who write one name at the same moment only
 * one succeeds is S3's word; this server looks first and writes then.
 */
class S3ObjectStoreTest {

    @TempDir
    static Path directory;

    private static Process server;
    private static S3ObjectStore store;
    private static FaultyProxy proxy;

    /** Through the proxy. */
    private static S3ObjectStore faulty;

    @BeforeAll
    static void start() throws Exception {
        int port = freePort();
        String jar = Stream.of(System.getProperty("java.class.path").split(File.pathSeparator, -1))
                .filter(path -> path.contains("s3mock"))
                .findFirst()
                .orElseThrow();
        server = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-jar",
                        jar,
                        "--com.adobe.testing.s3mock.httpPort=" + port,
                        "--com.adobe.testing.s3mock.store.root=" + directory.resolve("buckets"),
                        "--server.port=" + freePort())
                .directory(directory.toFile())
                .redirectErrorStream(true)
                .redirectOutput(directory.resolve("server.log").toFile())
                .start();
        store = new S3ObjectStore(settings(port));
        Awaitility.await("the server answers")
                .atMost(Duration.ofSeconds(90))
                .ignoreExceptions()
                .until(() -> {
                    try (Socket connected = new Socket(InetAddress.getLoopbackAddress(), port)) {
                        return connected.isConnected();
                    }
                });
        store.client().createBucket(request -> request.bucket("spg99"));
        proxy = new FaultyProxy(port);
        faulty = new S3ObjectStore(settings(proxy.port()));
    }

    private static S3Settings settings(int port) {
        return new S3Settings(
                Optional.of(URI.create("http://127.0.0.1:" + port)),
                "us-east-1",
                "spg99",
                "a/platform",
                Optional.of(new S3Settings.Credentials("key", "secret")));
    }

    @AfterAll
    static void stop() {
        if (store != null) {
            store.close();
        }
        if (proxy != null) {
            faulty.close();
            proxy.close();
        }
        server.destroyForcibly();
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    private static byte[] read(String key) throws IOException {
        try (InputStream in = store.open(key)) {
            return in.readAllBytes();
        }
    }

    @Test
    void givenAName_whenPutTwice_thenTheFirstStays() throws IOException {
        assertTrue(store.putIfAbsent("images/a", new byte[] {1}));
        Path file = Files.write(directory.resolve("file"), new byte[] {2, 3});

        assertFalse(store.putIfAbsent("images/a", file));
        assertTrue(store.putIfAbsent("images/b", file));

        assertArrayEquals(new byte[] {1}, read("images/a"));
        assertArrayEquals(new byte[] {2, 3}, read("images/b"));
        assertTrue(store.exists("images/a"));
        assertFalse(store.exists("images/c"));
    }

    @Test
    void givenALargeFile_whenPut_thenItGoesInPartsAndComesBackTheSame() throws IOException {
        byte[] content = new byte[S3ObjectStore.PART * 2 + 12_345];
        new Random(3).nextBytes(content);
        Path file = Files.write(directory.resolve("large"), content);

        assertTrue(store.putIfAbsent("layers/large", file));
        assertFalse(store.putIfAbsent("layers/large", file));

        assertArrayEquals(content, read("layers/large"));
        byte[] part = store.read("layers/large", S3ObjectStore.PART - 5L, 10);
        assertArrayEquals(java.util.Arrays.copyOfRange(content, S3ObjectStore.PART - 5, S3ObjectStore.PART + 5), part);
    }

    @Test
    void givenAnObject_whenReadBeyondItsEnd_thenItFails() throws IOException {
        store.putIfAbsent("short/a", new byte[] {1, 2, 3, 4});

        assertArrayEquals(new byte[] {2, 3}, store.read("short/a", 1, 2));
        assertThrows(EOFException.class, () -> store.read("short/a", 2, 3));
        assertThrows(EOFException.class, () -> store.read("short/a", 9, 1));
        assertThrows(FileNotFoundException.class, () -> store.read("short/b", 0, 1));
        assertThrows(FileNotFoundException.class, () -> store.open("short/b"));
    }

    @Test
    void givenObjects_whenListedAndDeleted_thenThePrefixIsOurs() throws IOException {
        store.putIfAbsent("list/b", new byte[] {1});
        store.putIfAbsent("list/a/x", new byte[] {1});
        store.putIfAbsent("listless", new byte[] {1});
        assertEquals(2, store.size("list/"));

        assertEquals(List.of("list/a/x", "list/b"), store.list("list/"));
        store.delete("list/b");
        store.delete("list/b");
        assertEquals(List.of("list/a/x"), store.list("list/"));
    }

    @Test
    void givenNobodyListens_whenAsked_thenItFailsSoonAndNamesTheObject() throws IOException {
        try (S3ObjectStore nowhere = new S3ObjectStore(settings(freePort()))) {
            IOException e = assertThrows(IOException.class, () -> nowhere.exists("a/b"));
            assertTrue(String.valueOf(e.getMessage()).contains("a/platform/a/b"), e.getMessage());
        }
    }

    @Test
    void givenAServerThatIsBusyForAMoment_whenAsked_thenItIsAskedAgainLaterEachTime() throws Exception {
        proxy.answer(FaultyProxy.BUSY, FaultyProxy.BUSY, FaultyProxy.BUSY);
        assertTrue(faulty.putIfAbsent("busy/a", new byte[] {1}));
        assertEquals(4, proxy.asked());

        proxy.answer(FaultyProxy.BUSY, FaultyProxy.BUSY);
        assertArrayEquals(new byte[] {1}, faulty.read("busy/a", 0, 1));
        assertEquals(3, proxy.asked());
        assertArrayEquals(new byte[] {1}, read("busy/a"));
    }

    @Test
    void givenAServerThatStaysBusy_whenAsked_thenItFailsAfterFiveTimesAndNamesTheObject() {
        proxy.answer(FaultyProxy.BUSY, FaultyProxy.BUSY, FaultyProxy.BUSY, FaultyProxy.BUSY, FaultyProxy.BUSY);
        IOException e = assertThrows(IOException.class, () -> faulty.putIfAbsent("busy/b", new byte[] {1}));
        assertTrue(String.valueOf(e.getMessage()).contains("a/platform/busy/b"), e.getMessage());
        assertEquals(5, proxy.asked());
    }

    @Test
    void givenAnAnswerThatDoesNotCome_whenItsTimeIsOver_thenItIsAskedAgain() throws Exception {
        store.putIfAbsent("stalled/a", new byte[] {1, 2});
        // Limits that a test can wait for.
        try (S3ObjectStore hurried =
                new S3ObjectStore(settings(proxy.port()), Duration.ofMillis(700), Duration.ofSeconds(2))) {
            proxy.answer(FaultyProxy.STALL);
            assertArrayEquals(new byte[] {2}, hurried.read("stalled/a", 1, 1));
            assertEquals(2, proxy.asked());

            proxy.answer(FaultyProxy.STALL, FaultyProxy.STALL, FaultyProxy.STALL, FaultyProxy.STALL, FaultyProxy.STALL);
            long began = System.nanoTime();
            assertThrows(IOException.class, () -> hurried.exists("stalled/a"));
            Duration took = Duration.ofNanos(System.nanoTime() - began);
            assertTrue(took.compareTo(Duration.ofSeconds(10)) < 0, "it takes no longer than a call may: " + took);
        }
    }

    @Test
    void givenAPutWhoseAnswerIsLost_whenItIsRepeated_thenTheObjectIsThereOnceAndWhole() throws Exception {
        proxy.answer(FaultyProxy.DONE_BUT_BUSY);
        assertFalse(faulty.putIfAbsent("lost/a", new byte[] {1, 2}), "it cannot know that it was itself");
        assertArrayEquals(new byte[] {1, 2}, read("lost/a"));
    }

    @Test
    void givenALargeFile_whenAPartOfItFails_thenThatPartIsSentAgain() throws Exception {
        byte[] content = new byte[S3ObjectStore.PART + 100];
        new Random(4).nextBytes(content);
        Path file = Files.write(directory.resolve("faulty"), content);
        // Whether it is there, a new upload, two parts, the end of it.
        proxy.answer(
                FaultyProxy.PASS,
                FaultyProxy.PASS,
                FaultyProxy.PASS,
                FaultyProxy.BUSY,
                FaultyProxy.PASS,
                FaultyProxy.BUSY);
        assertTrue(faulty.putIfAbsent("faulty/large", file));
        assertEquals(7, proxy.asked());
        assertArrayEquals(content, read("faulty/large"));
    }

    @Test
    void givenCredentials_whenPrinted_thenTheSecretIsNot() {
        assertFalse(settings(1).toString().contains("secret"));
    }
}
