package io.spg99.storage.object;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Hands requests on to a server, but for those that it is told to treat otherwise. */
final class FaultyProxy implements AutoCloseable {

    /** Handed on. */
    static final int PASS = 0;

    /** Not answered. */
    static final int STALL = -1;

    /** Done, and answered as if it had not been. */
    static final int DONE_BUT_BUSY = -2;

    /** Answered with this status, and not done. */
    static final int BUSY = 503;

    private static final Set<String> OWN = Set.of(
            "host", "connection", "content-length", "expect", "upgrade", "http2-settings", "transfer-encoding", "date");

    private final int port;
    private final HttpClient client = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(5))
            .build();
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final Queue<Integer> answers = new ConcurrentLinkedQueue<>();
    private final AtomicInteger asked = new AtomicInteger();
    private final CountDownLatch closed = new CountDownLatch(1);
    private final HttpServer server;

    FaultyProxy(int port) throws IOException {
        this.port = port;
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", this::handle);
        server.setExecutor(threads);
        server.start();
    }

    int port() {
        return server.getAddress().getPort();
    }

    /** To the next requests, in this order; those that follow are handed on. */
    void answer(Integer... next) {
        answers.clear();
        answers.addAll(List.of(next));
        asked.set(0);
    }

    /** Requests since {@link #answer}. */
    int asked() {
        return asked.get();
    }

    private void handle(HttpExchange exchange) throws IOException {
        asked.incrementAndGet();
        Integer next = answers.poll();
        int answer = next == null ? PASS : next;
        try (exchange) {
            byte[] body = exchange.getRequestBody().readAllBytes();
            if (answer == STALL) {
                closed.await(30, TimeUnit.SECONDS);
            } else if (answer == PASS) {
                pass(exchange, handOn(exchange, body));
            } else {
                if (answer == DONE_BUT_BUSY) {
                    handOn(exchange, body);
                }
                exchange.sendResponseHeaders(answer == DONE_BUT_BUSY ? BUSY : answer, -1);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private HttpResponse<byte[]> handOn(HttpExchange exchange, byte[] body) throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(
                        URI.create("http://127.0.0.1:" + port + exchange.getRequestURI()))
                .method(exchange.getRequestMethod(), HttpRequest.BodyPublishers.ofByteArray(body));
        exchange.getRequestHeaders().forEach((name, values) -> {
            if (!OWN.contains(name.toLowerCase(Locale.ROOT))) {
                values.forEach(value -> request.header(name, value));
            }
        });
        return client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
    }

    private static void pass(HttpExchange exchange, HttpResponse<byte[]> response) throws IOException {
        response.headers().map().forEach((name, values) -> {
            if (!OWN.contains(name.toLowerCase(Locale.ROOT))) {
                values.forEach(value -> exchange.getResponseHeaders().add(name, value));
            }
        });
        boolean head = exchange.getRequestMethod().equals("HEAD");
        exchange.sendResponseHeaders(
                response.statusCode(), head || response.body().length == 0 ? -1 : response.body().length);
        if (!head && response.body().length > 0) {
            exchange.getResponseBody().write(response.body());
        }
    }

    @Override
    public void close() {
        closed.countDown();
        server.stop(0);
        client.close();
        threads.close();
    }
}
