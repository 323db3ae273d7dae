package io.spg99.nodes.pageserver;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;

/** Changes of every kind to a database, and what is to be compared and checked afterwards. */
final class Workload {

    /** A row's text depends on nothing but its columns; large objects and sequences are told by their own functions. */
    private static final String TABLES = """
            SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND n.nspname = 'public' ORDER BY 1""";

    private static final String INDEXES = """
            SELECT c.oid::regclass::text FROM pg_class c JOIN pg_am a ON a.oid = c.relam
            JOIN pg_index i ON i.indexrelid = c.oid
            WHERE c.relkind = 'i' AND a.amname = 'btree' AND c.relpersistence = 'p' AND i.indisvalid ORDER BY 1""";

    private static final String HEAPS = """
            SELECT c.oid::regclass::text FROM pg_class c
            WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p' ORDER BY 1""";

    /** Conditions on t that each kind of index can answer. */
    private static final List<String> CONDITIONS = List.of(
            "k = 7",
            "s = (SELECT min(s) FROM t)",
            "j @> '{\"a\": 3}'",
            "p <@ box '((0, 0), (500, 1))'",
            "s >= '7' AND s < '8'",
            "d BETWEEN '2020-03-01' AND '2020-06-01'");

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
                "CREATE TABLE t (id bigint PRIMARY KEY, k int, s text, j jsonb, p point, d date)",
                "CREATE INDEX t_hash ON t USING hash (s)",
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

    /** One round, different each time. */
    void change(Connection connection, int round) throws SQLException {
        int base = round * 10_000;
        run(
                connection,
                """
                INSERT INTO t SELECT %d + i, i %% 100, md5(i::text || '%d'), jsonb_build_object('a', i %% 7, 'b', md5(i::text)),
                    point(i, random()), date '2020-01-01' + i FROM generate_series(1, 1500) i""".formatted(base, round),
                "UPDATE t SET k = k + 1, s = s || 'x' WHERE id % 13 = " + random.nextInt(13),
                "DELETE FROM t WHERE id % 17 = " + random.nextInt(17),
                "INSERT INTO toasted (big) SELECT repeat(md5(random()::text), 400) FROM generate_series(1, 20)",
                "UPDATE toasted SET big = big || 'y' WHERE id % 5 = " + random.nextInt(5),
                "INSERT INTO parts SELECT (random() * 9000)::int, 'v' FROM generate_series(1, 300)",
                "INSERT INTO volatile SELECT i, 'v' FROM generate_series(%d, %d) i ON CONFLICT DO NOTHING"
                        .formatted(base, base + 100),
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
                        "DROP DATABASE IF EXISTS inside%d".formatted(round - 2));
            case 4 -> run(connection, "DROP TABLE IF EXISTS made%d".formatted(round - 1), "ANALYZE", "CHECKPOINT");
            case 5 -> run(connection, "ALTER TABLE log ADD c%d int DEFAULT 7".formatted(round), "VACUUM t");
            case 6 -> run(connection, "DELETE FROM t WHERE id > %d".formatted(base - 15_000), "VACUUM t");
            default ->
                run(connection, "ALTER TABLE parts ALTER v TYPE varchar(%d)".formatted(10 + round), "CHECKPOINT");
        }
    }

    /** Everything that must be the same after a restart: one line per table, large objects, sequences, the catalog. */
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
                                + " 'hex'), 0)::numeric), 0) FROM pg_largeobject"));
        found.put(
                "catalog",
                ask(
                        connection,
                        "SELECT string_agg(relname::text || relkind::text || relnatts, ',' ORDER BY relname, oid) FROM pg_class WHERE oid > 16384"));
        found.put("databases", databases(connection));
        found.put(
                "prepared",
                ask(connection, "SELECT coalesce(string_agg(gid, ',' ORDER BY gid), '') FROM pg_prepared_xacts"));
        return found;
    }

    /** Databases that were made inside, one a line. */
    static String databases(Connection connection) throws SQLException {
        return ask(connection, "SELECT datname FROM pg_database WHERE datname LIKE 'inside%' ORDER BY 1");
    }

    /** @throws SQLException if a B-tree or a heap is damaged, or an index says something else than its table */
    static void check(Connection connection) throws SQLException {
        run(connection, "SET client_min_messages = error");
        for (String index : ask(connection, INDEXES).lines().toList()) {
            run(connection, "SELECT bt_index_check('%s', true)".formatted(index));
        }
        for (String heap : ask(connection, HEAPS).lines().toList()) {
            String damage = ask(connection, "SELECT msg FROM verify_heapam('%s')".formatted(heap));
            if (!damage.isEmpty()) {
                throw new SQLException("heap is damaged: relation=" + heap + " " + damage);
            }
        }
        for (String condition : CONDITIONS) {
            String count = "SELECT count(*) FROM t WHERE " + condition;
            run(connection, "SET enable_seqscan = on", "SET enable_indexscan = off", "SET enable_bitmapscan = off");
            run(connection, "SET enable_indexonlyscan = off");
            String read = ask(connection, count);
            run(connection, "SET enable_seqscan = off", "RESET enable_indexscan", "RESET enable_bitmapscan");
            String found = ask(connection, count);
            run(connection, "RESET enable_indexonlyscan", "RESET enable_seqscan");
            if (!found.equals(read)) {
                throw new SQLException("index is damaged: " + condition + " table=" + read + " index=" + found);
            }
        }
    }
}
