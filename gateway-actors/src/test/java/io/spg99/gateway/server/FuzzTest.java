package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Random sequences of messages. Valid ones are answered as PostgreSQL answers them; after any others the Gateway still
 * serves, and nobody else has noticed. To repeat a failure: the seed is in its message.
 */
@ExtendWith(SharedPostgres.class)
class FuzzTest {

    private static final int SEQUENCES = 30;
    private static final int MUTANTS = 15;
    private static final String END = "the end of the sequence";

    private static TestPostgres postgres;
    private static GatewayFixture gateway;

    @BeforeAll
    static void start(TestPostgres shared) throws Exception {
        postgres = shared;
        gateway = new GatewayFixture(postgres, "pool.linger = 10s");
        gateway.databases.serverConnections(3);
        gateway.databases.awake();
        try (Connection connection = gateway.connect();
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE IF NOT EXISTS fuzz (a int)");
        }
    }

    @AfterAll
    static void stop() throws Exception {
        gateway.stop();
    }

    private static RawClient direct() throws IOException {
        return new RawClient(postgres.port()).logInTrusted(TestPostgres.USER, TestPostgres.DATABASE);
    }

    private static RawClient pooled() throws Exception {
        RawClient client = new RawClient(gateway.server.port());
        client.logIn(TestPostgres.USER, TestPostgres.DATABASE, GatewayFixture.PASSWORD);
        return client.awaitReady();
    }

    private static byte[] joined(List<byte[]> messages) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        messages.forEach(bytes::writeBytes);
        return bytes.toByteArray();
    }

    /** Type by type, of errors the code, up to the end. What the Gateway may say differently is left out: its own names. */
    private static List<String> answers(RawClient client) throws IOException {
        List<String> answers = new ArrayList<>();
        while (true) {
            String message = client.message();
            char type = message.charAt(0);
            if (type == 'E') {
                answers.add("E " + message.substring(message.indexOf("\nC") + 2).split("\n", 2)[0]);
            } else if (type != 'S' && type != 'N') {
                answers.add(message);
            }
            if (type == 'D' && message.endsWith(END)) {
                return answers;
            }
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2})
    void givenValidSequences_thenTheAnswersArePostgreSqls(long seed) throws Exception {
        Random random = new Random(seed);
        for (int i = 0; i < SEQUENCES; i++) {
            List<byte[]> messages = Frontend.sequence(random, 5 + random.nextInt(25));
            messages.add(Frontend.query("SELECT '" + END + "'"));
            byte[] bytes = joined(messages);
            int cut = random.nextInt(bytes.length);
            List<String> expected;
            try (RawClient client = direct()) {
                expected = answers(client.send(bytes));
            }
            try (RawClient client = pooled()) {
                client.send(ByteBuffer.allocate(cut).put(bytes, 0, cut).array());
                client.send(ByteBuffer.allocate(bytes.length - cut)
                        .put(bytes, cut, bytes.length - cut)
                        .array());
                List<String> actual = new ArrayList<>();
                try {
                    actual = answers(client);
                } catch (IOException e) {
                    actual.add(e.toString());
                }
                assertEquals(
                        String.join("\n", expected),
                        String.join("\n", actual),
                        "seed=" + seed + " sequence=" + i + "\n" + text(messages));
            }
        }
    }

    private static String text(List<byte[]> messages) {
        StringBuilder text = new StringBuilder();
        for (byte[] message : messages) {
            String body = new String(message, 5, message.length - 5, StandardCharsets.ISO_8859_1);
            text.append((char) message[0])
                    .append(' ')
                    .append(body.replace('\0', '|'))
                    .append('\n');
        }
        return text.toString();
    }

    @ParameterizedTest
    @ValueSource(longs = {3, 4})
    void givenSequencesCutRepeatedReorderedAndOversized_thenServiceGoesOn(long seed) throws Exception {
        Random random = new Random(seed);
        for (int i = 0; i < MUTANTS; i++) {
            byte[] bytes = mutant(random);
            try (RawClient client = pooled()) {
                try {
                    client.send(bytes).drain(20);
                } catch (IOException e) {
                    // The Gateway has closed the connection, as it may.
                }
            }
            if (i % 10 == 0) {
                assertServes("seed=" + seed + " mutant=" + i);
            }
        }
        assertServes("seed=" + seed);
    }

    private static byte[] mutant(Random random) {
        List<byte[]> messages = Frontend.sequence(random, 5 + random.nextInt(15));
        byte[] one = messages.get(random.nextInt(messages.size()));
        switch (random.nextInt(6)) {
            case 0 -> Collections.shuffle(messages, random);
            case 1 -> messages.addAll(random.nextInt(messages.size()), Collections.nCopies(50, one));
            case 2 -> ByteBuffer.wrap(one).putInt(1, random.nextInt());
            case 3 -> ByteBuffer.wrap(one).putInt(1, random.nextInt(40));
            case 4 -> one[random.nextInt(one.length)] ^= (byte) (1 << random.nextInt(8));
            default -> messages.add(random.nextInt(messages.size()), Frontend.functionCall());
        }
        byte[] bytes = joined(messages);
        return random.nextInt(3) == 0 ? Arrays.copyOf(bytes, 1 + random.nextInt(bytes.length)) : bytes;
    }

    /** Somebody else is served, and sees nothing of what was done before. */
    private static void assertServes(String context) throws SQLException {
        try (Connection connection = gateway.connect();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(
                        "SELECT current_setting('application_name'), (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),"
                                + " to_regclass('pg_temp.tt') IS NULL")) {
            assertTrue(rows.next());
            assertEquals("PostgreSQL JDBC Driver", rows.getString(1), context);
            assertEquals(0, rows.getInt(2), context);
            assertTrue(rows.getBoolean(3), context);
        }
    }

    @Test
    void givenLengthsAndCountsThatLieInSaslMessages_thenAProtocolErrorAndTheEnd() throws Exception {
        String first = "n,,n=,r=abc";
        List<byte[]> initials = List.of(
                sasl("SCRAM-SHA-256\0", -2, first),
                sasl("SCRAM-SHA-256\0", Integer.MAX_VALUE, first),
                sasl("SCRAM-SHA-256\0", Integer.MIN_VALUE, first),
                sasl("SCRAM-SHA-256\0", 1, first),
                sasl("SCRAM-SHA-256\0", first.length() + 1, first),
                sasl("SCRAM-SHA-256", first.length(), first),
                sasl("", first.length(), first),
                sasl("\0", 0, ""),
                sasl("SCRAM-SHA-256-PLUS\0", first.length(), first),
                new byte[] {'p', 0, 0, 0, 3},
                new byte[] {'p', 0, 0, 0, 4},
                new byte[] {'p', -1, -1, -1, -1},
                new byte[] {'p', 0x7f, -1, -1, -1},
                Frontend.query("SELECT 1"));
        for (byte[] initial : initials) {
            try (RawClient client = new RawClient(gateway.server.port())) {
                client.sslRequest().answer();
                client.startTls()
                        .startup(3 << 16, Map.of("user", TestPostgres.USER, "database", TestPostgres.DATABASE));
                client.message();
                client.send(initial);
                String error = client.message();
                assertTrue(error.startsWith("E") && error.contains("C08P01"), error);
                assertTrue(client.closed());
            }
        }
        assertServes("SASL");
    }

    private static byte[] sasl(String mechanism, int length, String data) {
        byte[] name = mechanism.getBytes(StandardCharsets.US_ASCII);
        byte[] bytes = data.getBytes(StandardCharsets.US_ASCII);
        return ByteBuffer.allocate(1 + 4 + name.length + 4 + bytes.length)
                .put((byte) 'p')
                .putInt(4 + name.length + 4 + bytes.length)
                .put(name)
                .putInt(length)
                .put(bytes)
                .array();
    }
}
