package io.spg99.tests;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Clients that write numbered entries, one commit each, and remember which were acknowledged. Whatever happens to the
 * servers, the table must hold every acknowledged entry, and none twice; of the entries whose outcome is unknown it may
 * hold any.
 */
final class Ledger implements AutoCloseable {

    private String url;
    private final Properties login;
    private final AtomicLong next = new AtomicLong();
    private final Set<Long> acknowledged = new ConcurrentSkipListSet<>();
    private final Set<Long> unknown = new ConcurrentSkipListSet<>();
    private final Map<String, Long> failures = new ConcurrentHashMap<>();
    private final List<Thread> clients = new ArrayList<>();
    private volatile boolean running = true;
    private volatile Progress progress = new Progress(Long.MAX_VALUE);

    private static final class Progress {
        final long goal;
        final CountDownLatch reached = new CountDownLatch(1);

        Progress(long goal) {
            this.goal = goal;
        }
    }

    Ledger(String url, String user, String password) {
        this.url = url;
        this.login = new Properties();
        login.setProperty("user", user);
        login.setProperty("password", password);
        login.setProperty("connectTimeout", "40");
        login.setProperty("socketTimeout", "60");
    }

    /** This ledger on a platform that has come back at another address. */
    Ledger at(String newUrl) {
        url = newUrl;
        return this;
    }

    void dropTable() throws SQLException {
        try (Connection connection = connect();
                Statement statement = connection.createStatement()) {
            statement.execute("DROP TABLE ledger");
        }
    }

    void createTable() throws SQLException {
        try (Connection connection = connect();
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE IF NOT EXISTS ledger (entry bigint, client int)");
        }
    }

    void start(int clientCount) {
        for (int client = 1; client <= clientCount; client++) {
            int number = client;
            clients.add(Thread.ofPlatform().daemon().name("ledger-" + client).start(() -> write(number)));
        }
    }

    /** Waits until {@code count} more entries are acknowledged than now. */
    void awaitProgress(int count) throws InterruptedException {
        Progress wanted = new Progress(acknowledged.size() + (long) count);
        progress = wanted;
        if (acknowledged.size() < wanted.goal && !wanted.reached.await(60, TimeUnit.SECONDS)) {
            throw new AssertionError("no progress: acknowledged=" + acknowledged.size() + " goal=" + wanted.goal
                    + " failures=" + failures);
        }
    }

    /** Ends the clients; each finishes what it has begun. */
    void stop() throws InterruptedException {
        running = false;
        for (Thread client : clients) {
            client.join(TimeUnit.SECONDS.toMillis(70));
            if (client.isAlive()) {
                throw new AssertionError("a client hangs: " + client.getName());
            }
        }
    }

    /** Fails unless every acknowledged entry is there once, and nothing that nobody wrote. */
    void verify() throws SQLException {
        Set<Long> missing = new TreeSet<>(acknowledged);
        Set<Long> found = new TreeSet<>();
        try (Connection connection = connect();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT entry FROM ledger")) {
            while (rows.next()) {
                long entry = rows.getLong(1);
                missing.remove(entry);
                if (!found.add(entry)) {
                    throw new AssertionError("entry written twice: entry=" + entry);
                }
                if (!acknowledged.contains(entry) && !unknown.contains(entry)) {
                    throw new AssertionError("entry that was refused is there: entry=" + entry);
                }
            }
        }
        if (!missing.isEmpty()) {
            throw new AssertionError("acknowledged entries are missing: " + missing);
        }
    }

    int acknowledged() {
        return acknowledged.size();
    }

    Map<String, Long> failures() {
        return failures;
    }

    private Connection connect() throws SQLException {
        return DriverManager.getConnection(url, login);
    }

    private void write(int client) {
        while (running) {
            try (Connection connection = connect();
                    PreparedStatement insert =
                            connection.prepareStatement("INSERT INTO ledger (entry, client) VALUES (?, ?)")) {
                while (running) {
                    write(insert, client);
                }
            } catch (SQLException e) {
                failures.merge(String.valueOf(e.getSQLState()), 1L, Long::sum);
            }
        }
    }

    private void write(PreparedStatement insert, int client) throws SQLException {
        long entry = next.incrementAndGet();
        insert.setLong(1, entry);
        insert.setInt(2, client);
        // Until the answer is here anything may have happened to it.
        unknown.add(entry);
        insert.executeUpdate();
        acknowledged.add(entry);
        unknown.remove(entry);
        Progress wanted = progress;
        if (acknowledged.size() >= wanted.goal) {
            wanted.reached.countDown();
        }
    }

    @Override
    public void close() {
        running = false;
    }
}
