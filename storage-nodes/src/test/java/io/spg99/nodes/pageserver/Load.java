package io.spg99.nodes.pageserver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.compute.image.BaseImages;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;

/**
 * Clients at work while snapshots are taken and when the writer is stopped or killed: pgbench, where it is installed; its
 * transactions by our own clients, who know which of them were acknowledged; a table with every kind of index, TOAST and large
 * objects, some of it in transactions that are prepared first; tables that are made, rewritten, truncated and dropped.
 *
 * <p>A client numbers its transactions. What its rows must be follows from the number of the last one that committed, and that is
 * the last one acknowledged, or the one after it, of which no answer came.
 */
final class Load {

    /** Large objects of these clients have this number and those after it. */
    static final int LARGE_OBJECTS = 1_000_000_000;

    private static final int BENCH = 0;
    private static final int DDL = 1;
    private static final List<Integer> KINDS = List.of(2, 3);
    private static final int CLIENTS = 4;

    private static final int ACCOUNTS = 100_000;

    /** Of each client after each transaction: redo has to keep up on the same machine. */
    private static final Duration PAUSE = Duration.ofMillis(5);

    private static final int ROWS = 20;
    private static final int KEPT = 30;

    private static final Map<String, String> CONDITIONS = Map.of(
            "kinds_pkey", "client = 2 AND n % 2 = 0",
            "kinds_hash", "h = ANY (ARRAY(SELECT h FROM load.kinds WHERE i = 3))",
            "kinds_gin", "j @> '{\"v\": 1}'",
            "kinds_gist", "p <@ box '((0, 0), (1000000, 5))'",
            "kinds_spgist", "s >= '7' AND s < 'a'",
            "kinds_brin", "d BETWEEN '2020-01-01' AND '2030-01-01'");

    private static final String DEADLOCK = "40P01";
    private static final Pattern PROCESSED =
            Pattern.compile("number of transactions actually processed: ([0-9]+)(/[0-9]+)?");

    private final TestTimelines.Timeline timeline;
    private final AtomicLongArray acknowledged = new AtomicLongArray(CLIENTS);
    private final boolean[] open = new boolean[CLIENTS];
    private final boolean[] promised = new boolean[CLIENTS];

    /** Values of a sequence that somebody has seen. */
    private final long[] drawn = new long[CLIENTS];

    private final List<Thread> threads = new ArrayList<>();
    private final Map<String, Throwable> failures = new ConcurrentSkipListMap<>();
    private @Nullable Process pgbench;
    private long benchAcknowledged;

    Load(TestTimelines.Timeline timeline) {
        this.timeline = timeline;
    }

    static void create(Connection connection) throws SQLException {
        Workload.run(
                connection,
                "CREATE SCHEMA load",
                "SET search_path = load, public",
                "CREATE TABLE ledger (client int PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 50)",
                "INSERT INTO ledger SELECT i, 0 FROM generate_series(0, %d) i".formatted(CLIENTS - 1),
                "CREATE SEQUENCE numbers",
                "CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88)) WITH (fillfactor = 50)",
                "CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84)) WITH (fillfactor = 50)",
                "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84))",
                "CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))",
                "INSERT INTO pgbench_branches VALUES (1, 0)",
                "INSERT INTO pgbench_tellers SELECT i, 1, 0 FROM generate_series(1, 10) i",
                "INSERT INTO pgbench_accounts SELECT i, 1, 0, '' FROM generate_series(1, %d) i".formatted(ACCOUNTS),
                "CREATE FUNCTION word(client int, n bigint, i int, version int) RETURNS text LANGUAGE sql IMMUTABLE"
                        + " RETURN md5(client || ' ' || n || ' ' || i || ' ' || version)",
                "CREATE FUNCTION object(client int, n bigint) RETURNS bytea LANGUAGE sql IMMUTABLE"
                        + " RETURN convert_to(repeat(md5(client || ' ' || n), 150), 'utf8')",
                """
                CREATE TABLE kinds (client int, n bigint, i int, version int, h text, s text, j jsonb, p point, d date,
                    big text, PRIMARY KEY (client, n, i))""",
                "ALTER TABLE kinds ALTER big SET STORAGE EXTERNAL",
                "CREATE INDEX kinds_hash ON kinds USING hash (h)",
                "CREATE INDEX kinds_gin ON kinds USING gin (j)",
                "CREATE INDEX kinds_gist ON kinds USING gist (p)",
                "CREATE INDEX kinds_spgist ON kinds USING spgist (s)",
                "CREATE INDEX kinds_brin ON kinds USING brin (d)",
                "RESET search_path");
    }

    /** All clients, until the server ends. */
    void start() throws IOException {
        threads.clear();
        failures.clear();
        client(BENCH, this::bench);
        client(DDL, this::define);
        KINDS.forEach(client -> client(client, (connection, n) -> change(connection, client, n)));
        startPgbench();
    }

    private void startPgbench() throws IOException {
        Path socket = timeline.socket();
        ProcessBuilder builder = new ProcessBuilder(
                        "pgbench",
                        "-n",
                        "-c2",
                        "-T600",
                        "-R100",
                        "-h",
                        String.valueOf(socket.getParent()),
                        "-p",
                        socket.toString().replaceAll(".*\\.", ""),
                        "-U",
                        BaseImages.SUPERUSER,
                        TestTimelines.DATABASE)
                .redirectErrorStream(true)
                .redirectOutput(timeline.pgbenchOutput().toFile());
        builder.environment().put("PGOPTIONS", "-c search_path=load,public");
        try {
            pgbench = builder.start();
            pgbench.getOutputStream().close();
        } catch (IOException e) {
            pgbench = null; // Not installed. Our own clients do the same.
        }
    }

    private interface Step {
        /** One transaction, committed; whether it happened is in its client's line of the ledger. */
        void run(Connection connection, long n) throws SQLException;
    }

    private void client(int client, Step step) {
        Thread thread = Thread.ofPlatform().name("client-" + client).unstarted(() -> {
            try (Connection connection = timeline.connect()) {
                Workload.run(connection, "SET search_path = load, public");
                while (true) {
                    transaction(connection, client, step);
                    LockSupport.parkNanos(PAUSE.toNanos());
                }
            } catch (SQLException e) {
                // The end of the server ends its clients. Everything else is a finding.
                String state = String.valueOf(e.getSQLState());
                if (!state.startsWith("08") && !state.startsWith("57P")) {
                    failures.put("client " + client, e);
                }
            } catch (RuntimeException e) {
                failures.put("client " + client, e);
            }
        });
        threads.add(thread);
        thread.start();
    }

    private void transaction(Connection connection, int client, Step step) throws SQLException {
        open[client] = true;
        try {
            step.run(connection, acknowledged.get(client) + 1);
        } catch (SQLException e) {
            if (!DEADLOCK.equals(e.getSQLState())) {
                throw e;
            }
            Workload.run(connection, "ROLLBACK");
            return;
        }
        acknowledged.incrementAndGet(client);
        open[client] = false;
    }

    private static String count(int client, long n) {
        return "UPDATE ledger SET n = %d WHERE client = %d".formatted(n, client);
    }

    /** What pgbench does, with our number in the history. */
    private void bench(Connection connection, long n) throws SQLException {
        int account = 1 + Math.floorMod(Long.hashCode(n * 7919), ACCOUNTS);
        long delta = Math.floorMod(n * 31, 9999L) - 5000;
        Workload.run(
                connection,
                "BEGIN",
                "UPDATE pgbench_accounts SET abalance = abalance + %d WHERE aid = %d".formatted(delta, account),
                "SELECT abalance FROM pgbench_accounts WHERE aid = " + account,
                "UPDATE pgbench_tellers SET tbalance = tbalance + %d WHERE tid = %d".formatted(delta, 1 + n % 10),
                "UPDATE pgbench_branches SET bbalance = bbalance + %d WHERE bid = 1".formatted(delta),
                "INSERT INTO pgbench_history VALUES (%d, 1, %d, %d, now(), '%d')"
                        .formatted(1 + n % 10, account, delta, n),
                count(BENCH, n),
                "COMMIT");
    }

    private static String values(String n, int client, int version) {
        return """
                word(%2$d, %1$s, i, %3$d), reverse(word(%2$d, %1$s, i, %3$d)), jsonb_build_object('n', %1$s, 'v', %3$d),
                point(%1$s, i), date '2020-01-01' + (%1$s)::int %% 1000,
                CASE WHEN i = 1 THEN repeat(word(%2$d, %1$s, i, %3$d), 100) END""".formatted(n, client, version);
    }

    private void change(Connection connection, int client, long n) throws SQLException {
        Workload.run(
                connection,
                "BEGIN",
                "INSERT INTO kinds SELECT %2$d, %1$d, i, 0, %3$s FROM generate_series(1, %4$d) i"
                        .formatted(n, client, values(Long.toString(n), client, 0), ROWS),
                "UPDATE kinds SET version = 1, (h, s, j, p, d, big) = ROW(%s) WHERE client = %d AND n = %d"
                        .formatted(values(Long.toString(n - 1), client, 1), client, n - 1),
                "DELETE FROM kinds WHERE client = %d AND n <= %d".formatted(client, n - KEPT));
        if (n % 5 == 0) {
            Workload.run(connection, "SELECT lo_from_bytea(%d, object(%d, %d))".formatted(oid(client, n), client, n));
            if (n > 10) {
                Workload.run(connection, "SELECT lo_unlink(%d)".formatted(oid(client, n - 10)));
            }
        }
        long value = Long.parseLong(Workload.ask(connection, "SELECT nextval('numbers')"));
        Workload.run(connection, count(client, n));
        if (n % 7 == 0) {
            String name = "'load %d %d'".formatted(client, n);
            Workload.run(connection, "PREPARE TRANSACTION " + name);
            promised[client] = true;
            Workload.run(connection, "COMMIT PREPARED " + name);
            promised[client] = false;
        } else {
            Workload.run(connection, "COMMIT");
        }
        drawn[client] = value;
    }

    private static long oid(int client, long n) {
        return LARGE_OBJECTS + client * 10_000_000L + n;
    }

    /** Each kind of index in turn; a table is rewritten, then truncated, then dropped by those that follow. */
    private void define(Connection connection, long n) throws SQLException {
        String columns = "(id serial PRIMARY KEY, v text, p point, j jsonb)";
        String index = List.of("hash (v)", "gin (j)", "gist (p)", "spgist (v)", "brin (id)", "btree (v)")
                .get((int) (n % 6));
        Workload.run(connection, "BEGIN");
        if (n % 3 == 0) {
            Workload.run(
                    connection,
                    "CREATE TABLE made_%d (id serial, v text, p point, j jsonb) PARTITION BY RANGE (id)".formatted(n),
                    "CREATE TABLE made_%1$d_a PARTITION OF made_%1$d FOR VALUES FROM (1) TO (30)".formatted(n),
                    "CREATE TABLE made_%1$d_b PARTITION OF made_%1$d FOR VALUES FROM (30) TO (1000)".formatted(n));
        } else {
            Workload.run(connection, "CREATE TABLE made_%d %s".formatted(n, columns));
        }
        Workload.run(
                connection,
                "CREATE INDEX made_%1$d_kind ON made_%1$d USING %2$s".formatted(n, index),
                insertMade(n, 100));
        if (n > 1) {
            Workload.run(
                    connection,
                    "ALTER TABLE made_%d ADD c uuid DEFAULT gen_random_uuid()".formatted(n - 1),
                    "CREATE INDEX ON made_%d (v)".formatted(n - 1));
        }
        if (n > 2) {
            Workload.run(connection, "TRUNCATE made_%d RESTART IDENTITY".formatted(n - 2), insertMade(n - 2, 3));
        }
        if (n > 3) {
            Workload.run(connection, "DROP TABLE made_%d".formatted(n - 3));
        }
        Workload.run(connection, count(DDL, n), "COMMIT");
        // What is no transaction of its own cannot be in the ledger; nothing anybody sees depends on it.
        switch ((int) (n % 16)) {
            case 2, 10 -> Workload.run(connection, "VACUUM kinds, pgbench_tellers, pgbench_branches");
            case 4 -> Workload.run(connection, "VACUUM FULL kinds");
            case 6 -> Workload.run(connection, "DROP DATABASE IF EXISTS brief", "CREATE DATABASE brief TEMPLATE plain");
            case 8 -> Workload.run(connection, "REINDEX TABLE kinds", "CHECKPOINT");
            case 12 -> Workload.run(connection, "CLUSTER kinds USING kinds_pkey");
            case 14 -> Workload.run(connection, "VACUUM (FREEZE) kinds, pgbench_accounts");
            default -> {}
        }
    }

    private static String insertMade(long n, int rows) {
        return "INSERT INTO made_%1$d (v, p, j) SELECT word(%2$d, %1$d, i, 0), point(%1$d, i), jsonb_build_object('i', i) FROM generate_series(1, %3$d) i"
                .formatted(n, DDL, rows);
    }

    /** Waits until each client has committed that many more. */
    void progress(int transactions) {
        long[] before = new long[CLIENTS];
        Arrays.setAll(before, acknowledged::get);
        Awaitility.await("clients at work")
                .atMost(TestTimelines.PATIENCE.multipliedBy(4))
                .pollInterval(Duration.ofMillis(5))
                .until(() -> !failures.isEmpty()
                        || IntStream.range(0, CLIENTS)
                                .allMatch(client -> acknowledged.get(client) >= before[client] + transactions));
        requireNoFailure();
    }

    private void requireNoFailure() {
        for (Map.Entry<String, Throwable> failure : failures.entrySet()) {
            throw new AssertionError(failure.getKey(), failure.getValue());
        }
    }

    /** Waits for the clients' end, which is the server's. */
    void end() throws Exception {
        for (Thread thread : threads) {
            assertTrue(thread.join(TestTimelines.PATIENCE), "it ends with its server: " + thread.getName());
        }
        if (pgbench != null) {
            assertTrue(pgbench.waitFor(TestTimelines.PATIENCE.toSeconds(), TimeUnit.SECONDS), "pgbench ends too");
            Matcher processed = PROCESSED.matcher(Files.readString(timeline.pgbenchOutput()));
            benchAcknowledged += processed.find() ? Long.parseLong(processed.group(1)) : 0;
            pgbench = null;
        }
        requireNoFailure();
    }

    /** Nobody is at work: everything that was acknowledged is there, and nothing else but what was open. */
    void check(Connection connection) throws SQLException {
        Workload.run(connection, "SET search_path = load, public");
        for (String left : Workload.ask(
                        connection,
                        "SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'load%' AND database = current_database()")
                .lines()
                .toList()) {
            Workload.run(connection, "COMMIT PREPARED '%s'".formatted(left));
        }
        for (int client = 0; client < CLIENTS; client++) {
            long n = Long.parseLong(Workload.ask(connection, "SELECT n FROM ledger WHERE client = " + client));
            long most = acknowledged.get(client) + (open[client] ? 1 : 0);
            long least = acknowledged.get(client) + (promised[client] ? 1 : 0);
            assertTrue(
                    n >= least && n <= most,
                    "client=" + client + " committed=" + n + " acknowledged=" + least + " open=" + open[client]);
            acknowledged.set(client, n);
            open[client] = false;
            promised[client] = false;
        }
        checkBench(connection);
        for (int client : KINDS) {
            checkKinds(connection, client, acknowledged.get(client));
        }
        Workload.run(connection, "SET search_path = public");
        Workload.checkIndexes(connection, "load.kinds", CONDITIONS);
        Workload.run(connection, "SET search_path = load, public");
        checkMade(connection, acknowledged.get(DDL));
        long last = Long.parseLong(Workload.ask(connection, "SELECT last_value FROM numbers"));
        for (int client : KINDS) {
            assertTrue(last >= drawn[client], "a value is given out twice: last=" + last + " drawn=" + drawn[client]);
        }
        Workload.run(connection, "RESET search_path");
    }

    private void checkBench(Connection connection) throws SQLException {
        long n = acknowledged.get(BENCH);
        assertEquals(
                n + " " + n + " " + n,
                Workload.ask(
                        connection,
                        "SELECT count(*) || ' ' || count(DISTINCT filler) || ' ' || coalesce(max(filler::bigint), 0)"
                                + " FROM pgbench_history WHERE filler IS NOT NULL"));
        long others =
                Long.parseLong(Workload.ask(connection, "SELECT count(*) FROM pgbench_history WHERE filler IS NULL"));
        assertTrue(others >= benchAcknowledged, "history=" + others + " acknowledged=" + benchAcknowledged);
        benchAcknowledged = others;
        String sum = Workload.ask(connection, "SELECT coalesce(sum(delta), 0) FROM pgbench_history");
        assertEquals(sum, Workload.ask(connection, "SELECT sum(abalance) FROM pgbench_accounts"));
        assertEquals(sum, Workload.ask(connection, "SELECT sum(tbalance) FROM pgbench_tellers"));
        assertEquals(sum, Workload.ask(connection, "SELECT sum(bbalance) FROM pgbench_branches"));
        assertEquals("0", Workload.ask(connection, """
                        SELECT count(*) FROM pgbench_accounts a LEFT JOIN
                            (SELECT aid, sum(delta) AS sum FROM pgbench_history GROUP BY aid) h USING (aid)
                        WHERE a.abalance <> coalesce(h.sum, 0)"""));
    }

    private static void checkKinds(Connection connection, int client, long n) throws SQLException {
        long rows = Math.min(n, KEPT) * ROWS;
        assertEquals(
                rows + " " + rows,
                Workload.ask(connection, """
                        SELECT count(*) || ' ' || count(*) FILTER (WHERE n > %1$d - %4$d AND n <= %1$d AND i BETWEEN 1 AND %5$d
                            AND version = CASE WHEN n < %1$d THEN 1 ELSE 0 END
                            AND (h, s, j, p::text, d, coalesce(big, '')) = (SELECT a, b, c, e::text, f, coalesce(g, '') FROM (SELECT %3$s) AS x (a, b, c, e, f, g)))
                        FROM kinds WHERE client = %2$d""".formatted(
                                n, client, values("n", client, 0).replace(", 0)", ", version)"), KEPT, ROWS)),
                "rows of client " + client);
        long newest = n / 5 * 5;
        List<String> objects = new ArrayList<>();
        for (long each : new long[] {newest - 5, newest}) {
            if (each > 0) {
                objects.add(oid(client, each) + "t");
            }
        }
        assertEquals(
                String.join("\n", objects),
                Workload.ask(
                        connection,
                        "SELECT oid::text || (lo_get(oid) = object(%1$d, oid::bigint - %2$d))::text::char FROM pg_largeobject_metadata WHERE oid BETWEEN %2$d AND %3$d ORDER BY oid"
                                .formatted(client, oid(client, 0), oid(client + 1, 0) - 1)));
    }

    private static void checkMade(Connection connection, long n) throws SQLException {
        List<String> names = new ArrayList<>();
        for (long each = Math.max(1, n - 2); each <= n; each++) {
            names.add("made_" + each);
            int rows = each == n - 2 ? 3 : 100;
            String right = Workload.ask(
                    connection,
                    "SELECT count(*) || ' ' || count(*) FILTER (WHERE v = word(%d, %d, i, 0) AND (j ->> 'i')::int = i AND p0 = %2$d) FROM (SELECT v, j, p[0]::int AS p0, p[1]::int AS i FROM made_%2$d) m"
                            .formatted(DDL, each));
            assertEquals(rows + " " + rows, right, "made_" + each);
        }
        assertEquals(
                String.join("\n", names),
                Workload.ask(
                        connection,
                        "SELECT relname FROM pg_class WHERE relnamespace = 'load'::regnamespace AND relname LIKE 'made\\_%' AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY substr(relname, 6)::int"));
    }

    @Override
    public String toString() {
        return "pgbench=" + benchAcknowledged + " transactions=" + acknowledged;
    }
}
