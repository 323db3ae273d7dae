package io.spg99.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTimeout;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.tests.process.ApiClient;
import io.spg99.tests.process.DevProcess;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Garbage at the doors: clear errors, bounded memory, and the service goes on. */
@ExtendWith(SharedDev.class)
class BadInputIT {

    private static final long MEMORY_ALLOWANCE_KB = 160 * 1024;

    private static final byte TLS_ALERT = 21;

    /** Of the Gateway. */
    private static final Duration LOGIN_TIMEOUT = Duration.ofSeconds(15);

    private static DevProcess dev;

    @BeforeAll
    static void start(DevProcess shared) {
        dev = shared;
    }

    private static Socket gateway() throws IOException {
        Socket socket = new Socket(dev.get("gateway_host"), Integer.parseInt(dev.get("gateway_port")));
        socket.setSoTimeout(30_000);
        return socket;
    }

    private static void assertServes() throws SQLException {
        try (Connection connection = DriverManager.getConnection(dev.jdbcUrl(), dev.user(), dev.password())) {
            assertTrue(connection.isValid(10));
        }
    }

    /** Sends bytes and reads until the Gateway closes; an abrupt close counts as one. */
    private static byte[] exchange(byte[] sent) throws IOException {
        try (Socket socket = gateway()) {
            OutputStream out = socket.getOutputStream();
            try {
                out.write(sent);
                out.flush();
                socket.shutdownOutput();
                InputStream in = socket.getInputStream();
                return in.readAllBytes();
            } catch (SocketException e) {
                return new byte[0];
            }
        }
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    /** An ErrorResponse that says so. */
    private static boolean isProtocolViolation(byte[] answer) {
        return answer.length > 0 && answer[0] == 'E' && text(answer).contains("C08P01\0");
    }

    @Test
    void givenRandomBytes_whenSentToTheGateway_thenItClosesAndServesOn() throws Exception {
        Random random = new Random(42);
        int violations = 0;
        for (int i = 0; i < 200; i++) {
            byte[] garbage = new byte[1 + random.nextInt(2000)];
            random.nextBytes(garbage);
            byte[] answer = exchange(garbage);
            if (isProtocolViolation(answer)) {
                violations++;
            } else {
                // Too short for a length, or begins as TLS does.
                assertTrue(answer.length == 0 || answer[0] == TLS_ALERT, text(answer));
            }
        }
        assertTrue(violations > 150, "told so: " + violations);
        assertServes();
    }

    @Test
    void givenBrokenStartupPackets_whenSent_thenTheyAreProtocolViolations() throws Exception {
        byte[] oversized = ByteBuffer.allocate(8).putInt(1 << 30).putInt(196608).array();
        assertTrue(isProtocolViolation(exchange(oversized)));
        byte[] tiny = ByteBuffer.allocate(4).putInt(3).array();
        assertTrue(isProtocolViolation(exchange(tiny)));
        byte[] truncated =
                ByteBuffer.allocate(12).putInt(100).putInt(196608).putInt(0).array();
        // As PostgreSQL does, it tells a client nothing that has gone in the middle, and does not wait for the rest.
        assertEquals("", assertTimeout(LOGIN_TIMEOUT, () -> text(exchange(truncated))));
        byte[] unterminated = ByteBuffer.allocate(12)
                .putInt(12)
                .putInt(196608)
                .put("user".getBytes(StandardCharsets.UTF_8))
                .array();
        assertTrue(isProtocolViolation(exchange(unterminated)));
        assertServes();
    }

    @Test
    void givenAThousandHalfOpenConnections_whenAClientComes_thenItIsServedAndMemoryStaysBounded() throws Exception {
        long before = dev.residentKilobytes();
        List<Socket> halfOpen = new ArrayList<>();
        try {
            for (int i = 0; i < 1000; i++) {
                Socket socket = gateway();
                socket.getOutputStream().write(0);
                halfOpen.add(socket);
            }
            assertServes();
            long after = dev.residentKilobytes();
            assertTrue(after - before < MEMORY_ALLOWANCE_KB, "before=%d after=%d kB".formatted(before, after));
        } finally {
            for (Socket socket : halfOpen) {
                socket.close();
            }
        }
        assertServes();
    }

    @Test
    void givenBadRequests_whenSentToTheApi_thenTheAnswerSaysWhatIsWrong() {
        ApiClient api = dev.api();
        assertError(400, "BadRequest", api.post("/v2/tenants", "{\"name\":"));
        assertError(400, "BadRequest", api.post("/v2/tenants", "{\"name\":\"1st\"}"));
        assertError(400, "BadRequest", api.post("/v2/tenants", "{\"name\":\"" + "x".repeat(64) + "\"}"));
        assertError(400, "BadRequest", api.post("/v2/tenants", "{\"nom\":\"x\"}"));
        assertError(400, "BadRequest", api.post("/v2/tenants", "[]"));
        assertError(409, "Conflict", api.post("/v2/tenants", "{\"name\":\"demo\"}"));
        assertError(413, "TooLarge", api.post("/v2/tenants", "{\"name\":\"" + "x".repeat(2_000_000) + "\"}"));
        assertError(404, "NotFound", api.get("/v2/tenants/nobody"));
        assertError(404, "NotFound", api.get("/v2/nothing"));
        assertError(400, "BadRequest", api.get("/v2/tenants/demo/dbs?limit=501"));
        assertError(401, "Unauthorized", new ApiClient(dev.get("api_url"), "wrong").get("/v2/tenants"));
        assertEquals(200, api.get("/v2/health").status());
        assertEquals(200, api.get("/v2/openapi.json").status());
    }

    private static void assertError(int status, String error, ApiClient.Answer answer) {
        assertEquals(status, answer.status(), answer.toString());
        assertEquals(error, answer.body().path("error").asText(), answer.toString());
        String message = answer.body().path("message").asText();
        assertFalse(message.isEmpty(), answer.toString());
        assertFalse(message.contains("Exception") || message.contains("io.spg99"), message);
    }
}
