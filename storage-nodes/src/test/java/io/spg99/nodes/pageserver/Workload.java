package io.spg99.nodes.pageserver;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;

/** Changes of every kind to a database, and what is to be compared and checked afterwards. */
final class Workload {

    /** A row's text depends on nothing but its columns; large objects and sequences are asked for by themselves. */
    private static final String TABLES = """
            SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND n.nspname = 'public' ORDER BY 1""";

    /** While others make and drop tables ({@link Load}), theirs may be gone before they are looked at. */
    private static final String NOT_MADE =
            " AND c.relname NOT LIKE 'made\\_%' AND NOT EXISTS (SELECT FROM pg_class o WHERE o.relname LIKE 'made\\_%'";

    private static final String INDEXES = """
            SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
            JOIN pg_index i ON i.indexrelid = c.oid
            WHERE c.relkind = 'i' AND a.amname = 'btree' AND c.relpersistence = 'p' AND i.indisvalid""";

    private static final String HEAPS = """
            SELECT c.oid::regclass || ': ' || damage.msg FROM pg_class c,
                LATERAL verify_heapam(c.oid, check_toast => true) damage
            WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p'""";

    /** What one index of t answers, and no other. */
    private static final Map<String, String> CONDITIONS = Map.of(
            "t_k", "k = 7",
            "t_hash", "h = ANY (ARRAY(SELECT h FROM t WHERE id % 100 = 1))",
            "t_gin", "j @> '{\"a\": 3}'",
            "t_gist", "p <@ box '((0, 0), (500, 1))'",
            "t_spgist", "s >= '7' AND s < '8'",
            "t_brin", "d BETWEEN '2020-03-01' AND '2020-06-01'");

    /** Rows that a round leaves in the table that is unlogged. */
    static final int VOLATILE = 500;

    private final Random random;

    Workload(long seed) {
        random = new Random(seed);
    }

    static void run(Connection connection, String... statements) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            for (String sql : statements) {
                statement.execute(sql);
            }
        }
    }

    static String ask(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(sql)) {
            StringBuilder answer = new StringBuilder();
            while (rows.next()) {
                answer.append(answer.isEmpty() ? "" : "\n").append(rows.getString(1));
            }
            return answer.toString();
        }
    }

    static void create(Connection connection) throws SQLException {
        run(
                connection,
                // Images have no templates left, and one that is in use, by a prepared transaction for instance, cannot
                // be copied.
                "CREATE DATABASE plain TEMPLATE " + TestTimelines.DATABASE,
                "CREATE EXTENSION amcheck",
                "CREATE EXTENSION btree_gin",
                "CREATE TABLE t (id bigint PRIMARY KEY, k int, h text, s text, j jsonb, p point, d date)",
                "CREATE INDEX t_hash ON t USING hash (h)",
                "CREATE INDEX t_gin ON t USING gin (j)",
                "CREATE INDEX t_gist ON t USING gist (p)",
                "CREATE INDEX t_spgist ON t USING spgist (s)",
                "CREATE INDEX t_brin ON t USING brin (d)",
                "CREATE INDEX t_k ON t (k) WHERE k > 5",
                "CREATE TABLE toasted (id serial PRIMARY KEY, big text)",
                "ALTER TABLE toasted ALTER big SET STORAGE EXTERNAL",
                "CREATE TABLE parts (id int, v text) PARTITION BY RANGE (id)",
                "CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (0) TO (5000)",
                "CREATE TABLE parts2 PARTITION OF parts FOR VALUES FROM (5000) TO (1000000)",
                "CREATE UNLOGGED TABLE volatile (id int PRIMARY KEY, v text)",
                "CREATE SEQUENCE numbers",
                // Only for transactions that are prepared: nothing else waits for their locks.
                "CREATE TABLE promised (round int PRIMARY KEY)",
                "CREATE TABLE log (id bigserial, what text)",
                "CREATE MATERIALIZED VIEW sums AS SELECT k, count(*) FROM t GROUP BY k");
    }

    /** What databases that are made inside begin with. */
    static void createInside(Connection plain) throws SQLException {
        run(
                plain,
                "CREATE EXTENSION IF NOT EXISTS amcheck",
                "CREATE TABLE things (id serial PRIMARY KEY, v text, p point)",
                "ALTER TABLE things ALTER v SET STORAGE EXTERNAL",
                "CREATE INDEX things_gist ON things USING gist (p)",
                "INSERT INTO things (v, p) SELECT repeat(md5(i::text), 100), point(i, i) FROM generate_series(1, 200) i");
    }

    static void changeInside(Connection inside, int round) throws SQLException {
        run(
                inside,
                "UPDATE things SET v = reverse(v) WHERE id % 7 = " + round % 7,
                "INSERT INTO things (v, p) SELECT repeat(md5(i::text), 100), point(i, %1$d) FROM generate_series(1, 50) i"
                        .formatted(round));
    }

    /** One round, different each time. */
    void change(Connection connection, int round) throws SQLException {
        int base = round * 10_000;
        run(
                connection,
                """
                INSERT INTO t SELECT %d + i, i %% 100, md5('%d' || i::text), md5(i::text || '%d'), jsonb_build_object('a', i %% 7, 'b', md5(i::text)),
                    point(i, random()), date '2020-01-01' + i FROM generate_series(1, 1500) i""".formatted(base, round, round),
                "UPDATE t SET k = k + 1, h = md5(h), s = s || 'x' WHERE id % 13 = " + random.nextInt(13),
                "DELETE FROM t WHERE id % 17 = " + random.nextInt(17),
                "INSERT INTO toasted (big) SELECT repeat(md5(random()::text), 400) FROM generate_series(1, 20)",
                "UPDATE toasted SET big = big || 'y' WHERE id % 5 = " + random.nextInt(5),
                "INSERT INTO parts SELECT (random() * 9000)::int, 'v' FROM generate_series(1, 300)",
                "INSERT INTO volatile SELECT i, repeat('v', 500) FROM generate_series(1, %d) i".formatted(VOLATILE),
                "SELECT lo_from_bytea(0, decode(repeat('%02x', 5000), 'hex'))".formatted(round % 256),
                "SELECT nextval('numbers') FROM generate_series(1, %d)".formatted(1 + random.nextInt(50)),
                "INSERT INTO log (what) VALUES ('round %d')".formatted(round));
        switch (round % 8) {
            case 0 -> run(connection, "VACUUM (FREEZE) t", "REFRESH MATERIALIZED VIEW sums");
            case 1 ->
                run(
                        connection,
                        "VACUUM FULL toasted",
                        "CREATE INDEX ON log (what)",
                        "CREATE DATABASE inside%d TEMPLATE plain".formatted(round));
            case 2 -> run(connection, "TRUNCATE parts1", "REINDEX TABLE t");
            case 3 ->
                run(
                        connection,
                        "CREATE TABLE made%d AS SELECT * FROM t".formatted(round),
                        "CLUSTER t USING t_pkey",
                        "DROP DATABASE IF EXISTS inside%d".formatted(Math.max(0, round - 10)));
            case 4 -> run(connection, "DROP TABLE IF EXISTS made%d".formatted(round - 1), "ANALYZE", "CHECKPOINT");
            case 5 -> run(connection, "ALTER TABLE log ADD c%d int DEFAULT 7".formatted(round), "VACUUM t");
            case 6 -> run(connection, "DELETE FROM t WHERE id > %d".formatted(base - 15_000), "VACUUM t");
            default ->
                run(connection, "ALTER TABLE parts ALTER v TYPE varchar(%d)".formatted(10 + round), "CHECKPOINT");
        }
    }

    /**
     * Everything that must be the same after a restart, but for {@link #sequences} and what {@link Load} changes: one line per
     * table, large objects, the catalog.
     */
    static Map<String, String> fingerprint(Connection connection) throws SQLException {
        Map<String, String> found = new TreeMap<>();
        for (String table : ask(connection, TABLES).lines().toList()) {
            found.put(
                    table,
                    ask(
                            connection,
                            "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(r::text, 0)::numeric), 0) FROM "
                                    + table + " r"));
        }
        found.put(
                "large objects",
                ask(
                        connection,
                        "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(loid || ' ' || pageno || encode(data,"
                                + " 'hex'), 0)::numeric), 0) FROM pg_largeobject WHERE loid < " + Load.LARGE_OBJECTS));
        found.put(
                "catalog",
                ask(
                        connection,
                        "SELECT string_agg(relname::text || relkind::text || relnatts || (reltoastrelid <> 0), ',' ORDER BY relname, oid)"
                                + " FROM pg_class WHERE oid > 16384 AND relnamespace = 'public'::regnamespace"));
        found.put("databases", databases(connection));
        found.put(
                "prepared",
                ask(
                        connection,
                        "SELECT coalesce(string_agg(gid, ',' ORDER BY gid), '') FROM pg_prepared_xacts"
                                + " WHERE database = current_database() AND gid LIKE 'round%'"));
        return found;
    }

    /** Where the sequences stand: an orderly stop keeps that, and after a crash they go on up to 32 values later. */
    static Map<String, Long> sequences(Connection connection) throws SQLException {
        Map<String, Long> found = new TreeMap<>();
        for (String name : ask(
                        connection,
                        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace")
                .lines()
                .toList()) {
            found.put(
                    name,
                    Long.parseLong(ask(
                            connection, "SELECT last_value * 2 + CASE WHEN is_called THEN 1 ELSE 0 END FROM " + name)));
        }
        return found;
    }

    /** Databases that were made inside, one a line. */
    static String databases(Connection connection) throws SQLException {
        return ask(connection, "SELECT datname FROM pg_database WHERE datname LIKE 'inside%' ORDER BY 1");
    }

    /** @throws SQLException if a B-tree or a heap is damaged, or an index says something else than its table */
    static void check(Connection connection) throws SQLException {
        checkPages(connection);
        checkIndexes(connection, "t", CONDITIONS);
    }

    static void checkPages(Connection connection) throws SQLException {
        checkPages(connection, "", "");
    }

    /** The same while others are at work: of what no one drops. */
    static void checkMeanwhile(Connection connection) throws SQLException {
        checkPages(
                connection,
                NOT_MADE + " AND o.reltoastrelid = i.indrelid)",
                NOT_MADE + " AND o.reltoastrelid = c.oid)");
        checkIndexes(connection, "t", CONDITIONS);
    }

    private static void checkPages(Connection connection, String indexes, String heaps) throws SQLException {
        run(connection, "SET client_min_messages = error");
        ask(connection, INDEXES + indexes);
        String damage = ask(connection, HEAPS + heaps);
        if (!damage.isEmpty()) {
            throw new SQLException("heap is damaged: relation=" + damage);
        }
    }

    /**
     * Reads a table with and without each of its indexes.
     *
     * @param conditions by the index that is to answer
     */
    static void checkIndexes(Connection connection, String table, Map<String, String> conditions) throws SQLException {
        for (Map.Entry<String, String> condition : conditions.entrySet()) {
            String index = condition.getKey();
            String sum = "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(r::text, 0)::numeric), 0) FROM "
                    + table + " r WHERE " + condition.getValue();
            run(connection, "SET enable_seqscan = on", "SET enable_indexscan = off", "SET enable_bitmapscan = off");
            run(connection, "SET enable_indexonlyscan = off");
            String read = ask(connection, sum);
            run(connection, "SET enable_seqscan = off", "RESET enable_indexscan", "RESET enable_bitmapscan");
            String plan = ask(connection, "EXPLAIN (COSTS OFF) " + sum);
            String found = ask(connection, sum);
            run(connection, "RESET enable_indexonlyscan", "RESET enable_seqscan");
            if (!plan.contains(index)) {
                throw new SQLException("index was not asked: index=" + index + " plan=" + plan);
            }
            if (!found.equals(read)) {
                throw new SQLException("index is damaged: index=" + index + " table=" + read + " found=" + found);
            }
        }
    }
}
