package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Clients end where the process's descriptors would. */
class DescriptorLimitTest {

    private static final GatewaySettings.Limits WANTED = new GatewaySettings.Limits(10_000, 4_096, 2_000, 10_000);

    @Test
    void givenManyDescriptors_thenTheLimitsStay() throws Exception {
        assertEquals(WANTED, DescriptorLimit.within(WANTED, 1_048_576, 300));
    }

    @Test
    void givenFewDescriptors_thenClientsAndReserveFitThem() throws Exception {
        GatewaySettings.Limits limits = DescriptorLimit.within(WANTED, 4_096, 300);
        assertEquals(4_096, limits.preAuthConnections() + limits.connections() + 300 + 512);
        assertEquals(821, limits.preAuthConnections());
    }

    @Test
    void givenTooFewDescriptors_thenItSaysWhatToDo() {
        IOException error = assertThrows(IOException.class, () -> DescriptorLimit.within(WANTED, 256, 180));
        assertTrue(String.valueOf(error.getMessage()).contains("ulimit -n"), error.getMessage());
    }

    @Test
    void givenGatewayWithFewDescriptors_whenMoreClientsCome_then53300AndItGoesOn(@TempDir Path directory)
            throws Exception {
        int descriptors = 260;
        Process gateway = new ProcessBuilder(
                        "/bin/sh",
                        "-c",
                        "ulimit -n " + descriptors + " && exec \"$0\" \"$@\"",
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:+UseSerialGC",
                        "-cp",
                        System.getProperty("java.class.path"),
                        GatewayProcess.class.getName(),
                        directory.toString())
                .redirectErrorStream(true)
                .start();
        Deque<RawClient> clients = new ArrayDeque<>();
        try (BufferedReader out = gateway.inputReader()) {
            int port = port(out);
            while (logIn(port, clients)) {
                assertTrue(clients.size() < descriptors, "more clients than descriptors");
            }
            assertTrue(clients.size() > 20, "only " + clients.size() + " clients");
            // Who is refused takes no descriptor for good.
            for (int i = 0; i < 20; i++) {
                assertFalse(logIn(port, clients));
            }
            assertTrue(descriptors(gateway) < descriptors - 40, "hardly a descriptor is left");
            clients.pop().close();
            Awaitility.await("room for one").until(() -> logIn(port, clients));
        } finally {
            for (RawClient client : clients) {
                client.close();
            }
            gateway.destroyForcibly().waitFor();
        }
    }

    private static int port(BufferedReader out) throws IOException {
        String line = out.readLine();
        while (line != null && !line.startsWith(GatewayProcess.READY)) {
            line = out.readLine();
        }
        assertNotNull(line, "the Gateway has ended");
        return Integer.parseInt(line.substring(GatewayProcess.READY.length()));
    }

    private static long descriptors(Process process) throws IOException {
        try (Stream<Path> open = Files.list(Path.of("/proc", Long.toString(process.pid()), "fd"))) {
            return open.count();
        }
    }

    /** False if there are too many. */
    private static boolean logIn(int port, Deque<RawClient> clients) throws Exception {
        RawClient client = new RawClient(port);
        client.sendPassword(TestPostgres.USER, TestPostgres.DATABASE, GatewayFixture.PASSWORD);
        client.message();
        String answer = client.message();
        if (answer.startsWith("R")) {
            clients.push(client);
            return true;
        }
        assertTrue(answer.contains("C53300") && answer.contains("too many clients"), answer);
        client.close();
        return false;
    }
}
