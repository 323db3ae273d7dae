package io.spg99.storage.object;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * S3 answers 409 when two write one name at the same moment: neither need have succeeded. What the server says is played; only 412
 * says that the object is there.
 */
class S3ConflictTest {

    @TempDir
    Path directory;

    private final List<String> calls = new CopyOnWriteArrayList<>();
    private final AtomicInteger conflicts = new AtomicInteger();
    private volatile boolean exists;
    private HttpServer server;
    private S3ObjectStore store;

    @BeforeEach
    void start() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", this::answer);
        server.start();
        store = new S3ObjectStore(new S3Settings(
                Optional.of(URI.create("http://127.0.0.1:" + server.getAddress().getPort())),
                "us-east-1",
                "spg99",
                "",
                Optional.of(new S3Settings.Credentials("key", "secret"))));
    }

    @AfterEach
    void stop() {
        store.close();
        server.stop(0);
    }

    private void answer(HttpExchange exchange) throws IOException {
        exchange.getRequestBody().readAllBytes();
        String query = Optional.ofNullable(exchange.getRequestURI().getQuery()).orElse("");
        String method = exchange.getRequestMethod();
        boolean begins = method.equals("POST") && query.startsWith("uploads");
        boolean completes = method.equals("POST") && !begins;
        boolean writes = method.equals("PUT") && query.isEmpty();
        calls.add(begins ? "begin" : completes ? "complete" : writes ? "put" : method);
        if ((completes || writes) && conflicts.getAndUpdate(left -> Math.max(left - 1, 0)) > 0) {
            send(exchange, 409, "<Error><Code>ConditionalRequestConflict</Code><Message>again</Message></Error>");
        } else if ((completes || writes) && exists) {
            send(exchange, 412, "<Error><Code>PreconditionFailed</Code><Message>it is there</Message></Error>");
        } else if (method.equals("HEAD")) {
            exchange.sendResponseHeaders(exists ? 200 : 404, -1);
            exchange.close();
        } else if (begins) {
            send(
                    exchange,
                    200,
                    "<InitiateMultipartUploadResult><UploadId>" + calls.size()
                            + "</UploadId></InitiateMultipartUploadResult>");
        } else {
            exchange.getResponseHeaders().add("ETag", "\"tag\"");
            send(exchange, 200, completes ? "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>" : "");
        }
    }

    private static void send(HttpExchange exchange, int status, String body) throws IOException {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }

    private long calls(String name) {
        return calls.stream().filter(name::equals).count();
    }

    @Test
    void givenAConflict_whenPut_thenItIsTriedAgainUntilItIsWritten() throws IOException {
        conflicts.set(2);

        assertTrue(store.putIfAbsent("a", new byte[] {1}));

        assertEquals(3, calls("put"));
    }

    @Test
    void givenAConflict_whenTheOtherHasWrittenIt_thenItExists() throws IOException {
        conflicts.set(1);
        exists = true;

        assertFalse(store.putIfAbsent("a", new byte[] {1}));

        assertEquals(2, calls("put"));
    }

    @Test
    void givenConflictsForEver_whenPut_thenItFailsUnlessTheObjectIsThere() throws IOException {
        conflicts.set(Integer.MAX_VALUE);

        IOException e = assertThrows(IOException.class, () -> store.putIfAbsent("a", new byte[] {1}));
        assertTrue(String.valueOf(e.getMessage()).contains("key=a"), e.getMessage());

        exists = true;
        assertFalse(store.putIfAbsent("a", new byte[] {1}));
    }

    @Test
    void givenAConflict_whenPutInParts_thenAllPartsAreSentAgain() throws IOException {
        conflicts.set(1);
        Path large = Files.write(directory.resolve("large"), new byte[S3ObjectStore.PART + 1]);

        assertTrue(store.putIfAbsent("a", large));

        assertEquals(2, calls("begin"));
        assertEquals(4, calls("PUT"), "two parts each time");
        assertEquals(1, calls("DELETE"), "the first attempt's parts are given up");
        assertEquals(2, calls("complete"));
    }
}
