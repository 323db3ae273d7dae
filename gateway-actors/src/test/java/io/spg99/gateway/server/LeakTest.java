package io.spg99.gateway.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * Many clients take turns at random on few server connections, doing what changes a session. Each has a model of what its
 * session holds, which is compared with what PostgreSQL shows it. Clients leave in the middle of anything and others come.
 */
@ExtendWith(SharedPostgres.class)
class LeakTest {

    private static final int CLIENTS = 12;
    private static final int SERVER_CONNECTIONS = 6;
    /** Clients that may be pinned at a time: the others must find a server connection. */
    private static final int MAX_PINNED = 4;

    private static final int STEPS = Integer.getInteger("spg99.leak.steps", 1_500);

    private static final List<String> PATHS = List.of("a", "b, c", "\"D e\"", "public");

    /** One client and what it should see. */
    private static final class Client {
        final Connection connection;
        final String basePath;
        String path;
        String pathAtBegin;
        String own;
        String ownAtBegin;
        boolean transaction;
        boolean failed;
        boolean temporary;
        boolean temporaryAtBegin;
        boolean locked;
        boolean listening;
        boolean listeningAtBegin;
        final Map<String, Integer> prepared = new HashMap<>();
        final Map<Integer, PreparedStatement> statements = new HashMap<>();

        Client(Connection connection, String basePath) {
            this.connection = connection;
            this.basePath = basePath;
            path = basePath;
            pathAtBegin = path;
            own = "";
            ownAtBegin = own;
        }

        boolean pinned() {
            return transaction || temporary || locked || listening;
        }
    }

    private final List<Client> clients = new ArrayList<>();
    private final GatewayFixture gateway;
    private final long seed = Long.getLong("spg99.leak.seed", System.nanoTime());
    private final Random random = new Random(seed);
    private int number;

    LeakTest(TestPostgres postgres) throws Exception {
        gateway = new GatewayFixture(postgres, "pool.size = " + SERVER_CONNECTIONS);
    }

    @Test
    void givenRandomInterleavings_thenEachClientSeesItsOwnStateOnly() throws Exception {
        gateway.databases.serverConnections(SERVER_CONNECTIONS);
        gateway.databases.awake();
        int step = 0;
        try {
            for (int i = 0; i < CLIENTS; i++) {
                clients.add(connect());
            }
            for (; step < STEPS; step++) {
                int index = random.nextInt(CLIENTS);
                Client client = clients.get(index);
                long pinned = clients.stream().filter(Client::pinned).count();
                step(index, client, client.pinned() || pinned < MAX_PINNED);
            }
        } catch (SQLException | AssertionError e) {
            throw new AssertionError("step " + step + " of -Dspg99.leak.seed=" + seed, e);
        } finally {
            for (Client client : clients) {
                client.connection.close();
            }
            gateway.stop();
        }
    }

    private Client connect() throws SQLException {
        Properties properties = gateway.properties();
        properties.setProperty("prepareThreshold", "1");
        String path = random.nextBoolean() ? "\"$user\", public" : "base_" + random.nextInt(2);
        if (path.startsWith("base")) {
            properties.setProperty("options", "-c search_path=" + path);
        }
        return new Client(gateway.connect(properties), path);
    }

    private void step(int index, Client client, boolean mayPin) throws SQLException {
        if (client.failed) {
            execute(client, "ROLLBACK");
            rolledBack(client);
            return;
        }
        switch (random.nextInt(19)) {
            case 0 -> setPath(client, "SET search_path TO ", "");
            case 1 -> setPath(client, "SELECT set_config('search_path', '", "', false)");
            case 2 -> {
                execute(client, random.nextBoolean() ? "RESET search_path" : "SET search_path TO DEFAULT");
                // Inside a block the default is the server's until the end of it.
                if (client.transaction) {
                    execute(client, "COMMIT");
                    client.transaction = false;
                }
                client.path = client.basePath;
            }
            case 3 -> {
                client.own = "v" + random.nextInt(1_000);
                execute(client, "SET leak.test = '" + client.own + "'");
            }
            case 4 -> execute(client, "SELECT set_config('leak.test', 'local', true)");
            case 5, 6 -> {
                if (mayPin && !client.transaction) {
                    execute(client, "BEGIN");
                    client.transaction = true;
                    client.pathAtBegin = client.path;
                    client.ownAtBegin = client.own;
                    client.temporaryAtBegin = client.temporary;
                    client.listeningAtBegin = client.listening;
                }
            }
            case 7 -> {
                if (client.transaction) {
                    execute(client, "COMMIT");
                    client.transaction = false;
                }
            }
            case 8 -> {
                if (client.transaction) {
                    execute(client, "ROLLBACK");
                    rolledBack(client);
                }
            }
            case 9 -> {
                if (client.transaction && !client.locked) {
                    try {
                        execute(client, "SELECT 1/0");
                    } catch (SQLException e) {
                        assertEquals("22012", e.getSQLState());
                    }
                    client.failed = true;
                }
            }
            case 10 -> {
                if (client.temporary) {
                    execute(client, "DROP TABLE pg_temp.mine");
                    client.temporary = false;
                } else if (mayPin) {
                    execute(client, "CREATE TEMP TABLE mine AS SELECT " + number + " AS i");
                    client.temporary = true;
                }
            }
            case 11 -> {
                if (client.locked) {
                    execute(client, "SELECT pg_advisory_unlock_all()");
                    client.locked = false;
                } else if (mayPin) {
                    execute(client, "SELECT pg_advisory_lock(" + number++ + ")");
                    client.locked = true;
                }
            }
            case 12 -> {
                if (client.listening) {
                    execute(client, "UNLISTEN *");
                    client.listening = false;
                } else if (mayPin) {
                    execute(client, "LISTEN channel_" + index);
                    client.listening = true;
                }
            }
            case 13 -> {
                String name = "p" + random.nextInt(3);
                if (client.prepared.remove(name) != null) {
                    execute(client, "DEALLOCATE " + name);
                } else {
                    client.prepared.put(name, number);
                    execute(client, "PREPARE " + name + " AS SELECT " + number++);
                }
            }
            case 14, 15 -> {
                int add = random.nextInt(4);
                PreparedStatement statement = client.statements.get(add);
                if (statement == null) {
                    statement = client.connection.prepareStatement("SELECT ? + " + add);
                    client.statements.put(add, statement);
                }
                statement.setInt(1, number);
                try (ResultSet rows = statement.executeQuery()) {
                    assertTrue(rows.next());
                    assertEquals(number + add, rows.getInt(1));
                }
            }
            case 16 -> {
                if (!client.transaction && random.nextInt(3) == 0) {
                    execute(client, "DISCARD ALL");
                    client.path = client.basePath;
                    client.own = "";
                    client.temporary = false;
                    client.locked = false;
                    client.listening = false;
                    client.prepared.clear();
                }
            }
            case 17 -> {
                if (random.nextInt(3) == 0) {
                    client.connection.close();
                    clients.set(index, connect());
                }
            }
            default -> {}
        }
        if (!client.failed && clients.get(index) == client) {
            check(index, client);
        }
    }

    private void setPath(Client client, String before, String after) throws SQLException {
        client.path = PATHS.get(random.nextInt(PATHS.size()));
        execute(client, before + client.path + after);
    }

    /** Prepared statements and advisory locks are no part of a transaction. */
    private static void rolledBack(Client client) {
        client.transaction = false;
        client.failed = false;
        client.path = client.pathAtBegin;
        client.own = client.ownAtBegin;
        client.temporary = client.temporaryAtBegin;
        client.listening = client.listeningAtBegin;
    }

    private static void check(int index, Client client) throws SQLException {
        assertEquals(client.path, query(client, "SELECT current_setting('search_path')"), "search_path");
        if (!client.transaction) {
            assertEquals(client.own, query(client, "SELECT coalesce(current_setting('leak.test', true), '')"), "own");
        }
        assertEquals(
                client.temporary ? "1" : "0",
                query(
                        client,
                        "SELECT count(*) FROM pg_class WHERE relname = 'mine' AND relnamespace = pg_my_temp_schema()"),
                "temporary");
        assertEquals(
                client.locked ? "1" : "0",
                query(client, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"),
                "locks");
        assertEquals(
                // Both LISTEN and UNLISTEN wait for the commit.
                (client.transaction ? client.listeningAtBegin : client.listening) ? "channel_" + index : "",
                query(client, "SELECT coalesce(string_agg(c, ','), '') FROM pg_listening_channels() c"),
                "channels");
        assertEquals(
                String.valueOf(client.prepared.size()),
                query(client, "SELECT count(*) FROM pg_prepared_statements WHERE from_sql"),
                "prepared");
        for (Map.Entry<String, Integer> prepared : client.prepared.entrySet()) {
            assertEquals(String.valueOf(prepared.getValue()), query(client, "EXECUTE " + prepared.getKey()));
        }
    }

    private static void execute(Client client, String sql) throws SQLException {
        try (Statement statement = client.connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static String query(Client client, String sql) throws SQLException {
        try (Statement statement = client.connection.createStatement();
                ResultSet rows = statement.executeQuery(sql)) {
            assertTrue(rows.next());
            return rows.getString(1);
        }
    }
}
