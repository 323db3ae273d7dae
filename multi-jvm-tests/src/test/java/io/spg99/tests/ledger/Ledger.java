package io.spg99.tests.ledger;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * Clients of a small bank. Each transfers amounts between accounts, one numbered transaction after the other, and remembers
 * which were acknowledged; with each it reads which of its own was the last one, and an auditor reads everything all the
 * while. Whatever happens to the servers: every acknowledged transaction is there, none twice, none that was refused; what a
 * client reads is never older than what it was told; what was seen once never vanishes; and the sum of all accounts stays.
 */
public final class Ledger implements AutoCloseable {

    private static final int ACCOUNTS = 64;
    private static final long OPENING = 1000;

    /** A client thinks before it goes on: the machine has other things to do than to transfer as fast as it can. */
    private static final long PAUSE_NANOS = 5_000_000;

    /** Accounts are locked in the order of their ids, whatever order they are found in: transfers never deadlock. */
    private static final String TRANSFER = """
            WITH locked AS (SELECT id FROM account WHERE id IN (?, ?) ORDER BY id FOR UPDATE),
            moved AS (UPDATE account SET balance = balance + CASE account.id WHEN ? THEN ? ELSE ? END
                FROM locked WHERE account.id = locked.id)
            INSERT INTO ledger (client, sequence, source, target, amount) VALUES (?, ?, ?, ?, ?)
            RETURNING (SELECT coalesce(max(sequence), 0) FROM ledger WHERE client = ?)""";

    private volatile String url;
    private final Properties login;
    private final LedgerHistory history = new LedgerHistory();
    private final Map<String, Integer> failures = new ConcurrentHashMap<>();

    /** What was wrong already while it ran. */
    private final Queue<String> anomalies = new ConcurrentLinkedQueue<>();

    private final List<Thread> threads = new ArrayList<>();
    private volatile boolean running = true;
    private volatile Progress progress = new Progress(Long.MAX_VALUE);

    private static final class Progress {
        final long goal;
        final CountDownLatch reached = new CountDownLatch(1);

        Progress(long goal) {
            this.goal = goal;
        }
    }

    public Ledger(String url, String user, String password) {
        this.url = url;
        this.login = new Properties();
        login.setProperty("user", user);
        login.setProperty("password", password);
        login.setProperty("connectTimeout", "40");
        login.setProperty("socketTimeout", "60");
    }

    /** This ledger on a platform that has come back at another address. */
    public Ledger at(String newUrl) {
        url = newUrl;
        return this;
    }

    public void createTable() throws SQLException {
        execute("CREATE TABLE ledger (client int, sequence int, source int, target int, amount bigint)");
        execute("CREATE INDEX ON ledger (client, sequence)");
        execute("CREATE TABLE account (id int PRIMARY KEY, balance bigint)");
        execute("INSERT INTO account SELECT id, %d FROM generate_series(0, %d) id".formatted(OPENING, ACCOUNTS - 1));
    }

    public void dropTable() throws SQLException {
        execute("DROP TABLE ledger, account");
    }

    private void execute(String sql) throws SQLException {
        try (Connection connection = connect();
                Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    /** Starts clients and the auditor. */
    public void start(int clientCount) {
        for (int client = 1; client <= clientCount; client++) {
            int number = client;
            run("ledger-" + client, () -> new Client(number).run());
        }
        run("auditor", () -> new Auditor().run());
    }

    private void run(String name, Runnable work) {
        threads.add(Thread.ofPlatform().daemon().name(name).start(work));
    }

    /** Waits until {@code count} more transactions are acknowledged than now. */
    public void awaitProgress(int count) throws InterruptedException {
        Progress wanted = new Progress(history.acknowledged() + (long) count);
        progress = wanted;
        if (history.acknowledged() < wanted.goal && !wanted.reached.await(60, TimeUnit.SECONDS)) {
            throw new AssertionError("no progress: acknowledged=" + history.acknowledged() + " goal=" + wanted.goal
                    + " failures=" + failures);
        }
    }

    /** Ends the clients; each finishes what it has begun. */
    public void stop() throws InterruptedException {
        running = false;
        for (Thread thread : threads) {
            thread.join(TimeUnit.SECONDS.toMillis(70));
            if (thread.isAlive()) {
                throw new AssertionError("a client hangs: " + thread.getName());
            }
        }
    }

    /** Fails unless the database holds exactly what the clients know, and nothing was wrong on the way. */
    public void verify() throws SQLException {
        List<Transfer> rows = new ArrayList<>();
        Map<Integer, Long> balances = new HashMap<>();
        try (Connection connection = connect();
                Statement statement = connection.createStatement()) {
            // Both tables as of one moment.
            connection.setAutoCommit(false);
            connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            try (ResultSet row = statement.executeQuery("SELECT * FROM ledger")) {
                while (row.next()) {
                    rows.add(new Transfer(row.getInt(1), row.getInt(2), row.getInt(3), row.getInt(4), row.getLong(5)));
                }
            }
            try (ResultSet row = statement.executeQuery("SELECT * FROM account")) {
                while (row.next()) {
                    balances.put(row.getInt(1), row.getLong(2));
                }
            }
            connection.rollback();
        }
        List<String> found = history.anomalies(rows, balances, OPENING);
        found.addAll(anomalies);
        if (balances.size() != ACCOUNTS) {
            found.add("accounts: expected=" + ACCOUNTS + " found=" + balances.size());
        }
        if (!found.isEmpty()) {
            throw new AssertionError("%d anomalies: %s failures=%s"
                    .formatted(found.size(), found.subList(0, Math.min(20, found.size())), failures));
        }
    }

    public int acknowledged() {
        return history.acknowledged();
    }

    /** How often clients were told which SQLSTATE. */
    public Map<String, Integer> failures() {
        return Map.copyOf(failures);
    }

    private Connection connect() throws SQLException {
        return DriverManager.getConnection(url, login);
    }

    private void failed(SQLException e) {
        failures.merge(String.valueOf(e.getSQLState()), 1, Integer::sum);
    }

    private final class Client {

        private final int client;

        /** Number of the last one that was acknowledged, and of the last one asked for. */
        private int acknowledged;

        private int asked;

        Client(int client) {
            this.client = client;
        }

        void run() {
            while (running) {
                try (Connection connection = connect();
                        PreparedStatement statement = connection.prepareStatement(TRANSFER)) {
                    while (running) {
                        transfer(statement, next());
                        LockSupport.parkNanos(PAUSE_NANOS);
                    }
                } catch (SQLException e) {
                    failed(e);
                }
            }
        }

        private Transfer next() {
            ThreadLocalRandom random = ThreadLocalRandom.current();
            int from = random.nextInt(ACCOUNTS);
            int to = (from + 1 + random.nextInt(ACCOUNTS - 1)) % ACCOUNTS;
            return new Transfer(client, asked + 1, from, to, random.nextInt(1, 100));
        }

        private void transfer(PreparedStatement statement, Transfer transfer) throws SQLException {
            int parameter = 0;
            statement.setInt(++parameter, transfer.from());
            statement.setInt(++parameter, transfer.to());
            statement.setInt(++parameter, transfer.from());
            statement.setLong(++parameter, -transfer.amount());
            statement.setLong(++parameter, transfer.amount());
            statement.setInt(++parameter, transfer.client());
            statement.setInt(++parameter, transfer.sequence());
            statement.setInt(++parameter, transfer.from());
            statement.setInt(++parameter, transfer.to());
            statement.setLong(++parameter, transfer.amount());
            statement.setInt(++parameter, transfer.client());
            history.asked(transfer);
            int before = asked;
            asked = transfer.sequence();
            int seen;
            try (ResultSet row = statement.executeQuery()) {
                row.next();
                seen = row.getInt(1);
            } catch (SQLException e) {
                // Connection errors leave open what happened; every other one is PostgreSQL's word that it did not.
                if (!String.valueOf(e.getSQLState()).startsWith("08")) {
                    history.refused(transfer);
                }
                throw e;
            }
            history.acknowledged(transfer);
            if (seen < acknowledged || seen > before) {
                anomalies.add("stale or invented read: client=%d acknowledged=%d asked=%d read=%d"
                        .formatted(client, acknowledged, before, seen));
            }
            acknowledged = transfer.sequence();
            Progress wanted = progress;
            if (history.acknowledged() >= wanted.goal) {
                wanted.reached.countDown();
            }
        }
    }

    /** Reads the sum of all accounts and the number of transfers, again and again. */
    private final class Auditor {

        private int most;

        void run() {
            while (running) {
                try (Connection connection = connect();
                        Statement statement = connection.createStatement()) {
                    while (running) {
                        audit(statement);
                    }
                } catch (SQLException e) {
                    failed(e);
                }
            }
        }

        private void audit(Statement statement) throws SQLException {
            int acknowledgedBefore = history.acknowledged();
            try (ResultSet row = statement.executeQuery(
                    "SELECT (SELECT sum(balance) FROM account), (SELECT count(*) FROM ledger), pg_sleep(0.02)")) {
                row.next();
                long sum = row.getLong(1);
                int count = row.getInt(2);
                if (sum != OPENING * ACCOUNTS) {
                    anomalies.add("sum of all accounts, read meanwhile: expected=%d found=%d"
                            .formatted(OPENING * ACCOUNTS, sum));
                }
                int seen = Math.max(most, acknowledgedBefore);
                if (count < seen) {
                    anomalies.add("transfers vanished: seen or acknowledged=%d found=%d".formatted(seen, count));
                }
                most = Math.max(seen, count);
            }
        }
    }

    @Override
    public void close() {
        running = false;
    }
}
