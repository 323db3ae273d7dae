package io.spg99.storage.readthrough;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.postgres.TestServers;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Stock PostgreSQL over a directory that holds only what it must have to start; all else is read through. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ReadThroughPostgresTest {

    private static final Logger LOG = LoggerFactory.getLogger(ReadThroughPostgresTest.class);

    private static final String HASHES = "select string_agg(format('%s %s', t, h), e'\\n' order by t) from ("
            + "select 'accounts' t, md5(string_agg(md5(a::text), '' order by aid)) h from accounts a"
            + " union all select 'documents', md5(string_agg(md5(d::text), '' order by id)) from documents d"
            + " union all select 'events', md5(string_agg(md5(v::text), '' order by id)) from events v"
            + " union all select 'large', md5(string_agg(md5(lo_get(oid)), '' order by oid))"
            + " from pg_largeobject_metadata) s";

    private static final String CHECKS = "select count(*) from ("
            + "select bt_index_check(c.oid, true) from pg_class c join pg_am m on m.oid = c.relam"
            + " where c.relkind = 'i' and m.amname = 'btree') s";

    private static final String HEAP_CHECKS = "select count(*) from pg_class c, lateral verify_heapam(c.oid) v"
            + " where c.relkind in ('r', 't', 'm') and c.relam = 2 and c.relpersistence = 'p'";

    private Path original;
    private ReadThroughLibrary library;
    private String hashes;

    @BeforeAll
    void makeOriginal() throws Exception {
        var installed = ReadThroughLibrary.install(TestServers.shared().directory("lib"));
        Assumptions.assumeTrue(installed.isPresent(), "the library was not built");
        library = installed.orElseThrow();
        original = TestCluster.initdb();
        try (TestCluster cluster = TestCluster.start(original, Map.of())) {
            cluster.execute(
                    "create extension amcheck",
                    "create table accounts (aid int primary key, bid int, abalance int, filler char(84))",
                    "insert into accounts select i, i / 100000, 0, '' from generate_series(1, 300000) i",
                    "create table documents (id int primary key, body text, tags int[], at point, span int4range)",
                    "insert into documents select i, (select string_agg(md5((i * j)::text), '') from"
                            + " generate_series(1, 100) j), array[i % 7, i % 11], point(i, i),"
                            + " int4range(i, i + 10) from generate_series(1, 2000) i",
                    "create index on documents using hash (id)",
                    "create index on documents using gin (tags)",
                    "create index on documents using gist (span)",
                    "create index on documents using spgist (at)",
                    "create index on accounts using brin (aid)",
                    "create table events (id bigint generated always as identity, k int) partition by hash (k)",
                    "create table events_0 partition of events for values with (modulus 2, remainder 0)",
                    "create table events_1 partition of events for values with (modulus 2, remainder 1)",
                    "insert into events (k) select i from generate_series(1, 1000) i",
                    "select lo_from_bytea(0, convert_to(repeat('large object', 10000), 'utf8'))",
                    "create table victim as select i from generate_series(1, 10000) i",
                    "vacuum analyze",
                    "create database second");
            hashes = cluster.query(HASHES);
        }
    }

    @AfterAll
    void nothingIsLeft() {
        assertTrue(Files.exists(original), "the original stays as it was until the JVM ends");
    }

    /** A directory without relation files, its agent, and the server over it. */
    private record Started(Path shared, ReadThrough agent, TestCluster cluster) implements AutoCloseable {
        @Override
        public void close() throws IOException {
            cluster.close();
            agent.close();
        }
    }

    private Started start(BlockSource source, ReadThroughSettings settings) throws Exception {
        Path root = TestServers.shared().directory("through");
        Path pgdata = root.resolve("pgdata");
        Path shared = root.resolve("shared");
        SortedMap<RelationFile, Integer> sizes = TestCluster.copyWithoutRelations(original, pgdata);
        ReadThrough.prepare(shared, TestServers.shared().user(), sizes, settings);
        ReadThrough agent =
                ReadThrough.open(pgdata, shared, TestServers.shared().user(), source, settings);
        return new Started(shared, agent, TestCluster.start(pgdata, library.environment(shared)));
    }

    @Test
    void givenOnlyTheStartupMinimum_whenStarted_thenEverythingReadsRightAndTheDiskStaysSmall() throws Exception {
        try (Started started = start(TestCluster.source(original), ReadThroughSettings.DEFAULT)) {
            TestCluster cluster = started.cluster();
            assertEquals("1", cluster.query("select 1"));
            List<BlockRange> startup = started.agent().used(Integer.MAX_VALUE);
            LOG.info(
                    "read until the first answer: files={} blocks={}",
                    startup.stream().map(BlockRange::file).distinct().count(),
                    startup.stream().mapToInt(BlockRange::count).sum());
            startup.forEach(range -> LOG.debug(
                    "read until the first answer: file={} first={} count={}",
                    range.file().path(),
                    range.first(),
                    range.count()));
            long disk = TestCluster.diskUse(cluster.pgdata.resolve("base"));
            assertTrue(disk < 8 << 20, "bytes=" + disk);
            long all = TestCluster.diskUse(original.resolve("base"));
            assertTrue(all > 70 << 20, "bytes=" + all);
            assertEquals("100000", cluster.query("select bid * 0 + aid from accounts where aid = 100000"), "one row");
            assertTrue(TestCluster.diskUse(cluster.pgdata.resolve("base")) < 10 << 20);

            assertEquals(hashes, cluster.query(HASHES));
            assertTrue(Integer.parseInt(cluster.query(CHECKS)) > 100);
            assertEquals("0", cluster.query(HEAP_CHECKS));
            assertEquals("0", cluster.query("second", "select count(*) from pg_class where relname = 'accounts'"));
            assertEquals("999", cluster.query("select count(*) from documents where span && int4range(500, 1490)"));
            LOG.info("everything was read: {}", started.agent().figures());
        }
    }

    @Test
    void givenWritesAndRestarts_whenReadAgain_thenNothingIsLostAndNothingOldComesBack() throws Exception {
        Started started = start(TestCluster.source(original), ReadThroughSettings.DEFAULT);
        TestCluster cluster = started.cluster();
        try {
            cluster.execute(
                    "update accounts set abalance = aid where aid % 1000 = 0",
                    "insert into accounts select i, 0, 1, '' from generate_series(300001, 310000) i",
                    "delete from accounts where aid between 100000 and 110000",
                    "vacuum accounts",
                    "truncate victim",
                    "insert into victim select i from generate_series(1, 100) i",
                    "drop table events",
                    "vacuum full documents",
                    "create database copied template second strategy file_copy",
                    "drop database second",
                    "create table fresh as select i from generate_series(1, 1000) i",
                    "checkpoint");
            String expected = cluster.query("select md5(string_agg(md5(a::text), '' order by aid)) from accounts a");
            String size = cluster.query("select pg_database_size('postgres') > 50 * 1024 * 1024");
            assertEquals("t", size, "sizes count files that are not there yet");

            cluster = cluster.restart();
            assertEquals(
                    expected, cluster.query("select md5(string_agg(md5(a::text), '' order by aid)) from accounts a"));
            assertEquals("100", cluster.query("select count(*) from victim"));
            assertEquals("1000", cluster.query("select count(*) from fresh"));
            assertEquals("2000", cluster.query("select count(*) from documents"));
            assertEquals("1", cluster.query("copied", "select count(*) from pg_database where datname = 'copied'"));
            assertTrue(Integer.parseInt(cluster.query(CHECKS)) > 100);
            assertEquals("0", cluster.query(HEAP_CHECKS));
            assertFalse(Files.exists(cluster.pgdata.resolve("base/" + secondOid())));
        } finally {
            cluster.close();
            started.agent().close();
        }
    }

    private String secondOid() throws IOException {
        try (var paths = Files.list(original.resolve("base"))) {
            return paths.map(path -> path.getFileName().toString())
                    .filter(name -> name.chars().allMatch(Character::isDigit))
                    .max((a, b) -> Integer.compare(Integer.parseInt(a), Integer.parseInt(b)))
                    .orElseThrow();
        }
    }

    @Test
    void givenSmallCache_whenAllIsReadAndWritten_thenItStaysSmallAndRight() throws Exception {
        long limit = 16 << 20;
        try (Started started = start(TestCluster.source(original), ReadThroughSettings.DEFAULT.withCacheLimit(limit))) {
            TestCluster cluster = started.cluster();
            for (int round = 0; round < 2; round++) {
                assertEquals(hashes, cluster.query(HASHES));
            }
            cluster.execute("update accounts set abalance = 1 where aid % 100000 = 0", "checkpoint");
            assertEquals("3", cluster.query("select sum(abalance) from accounts"));
            assertTrue(Integer.parseInt(cluster.query(CHECKS)) > 100);
            ReadThroughFigures figures = started.agent().figures();
            LOG.info("with a cache of 16 MB: {}", figures);
            assertTrue(figures.evictedBlocks() > figures.totalBlocks() / 2, figures.toString());
        }
    }

    @Test
    void givenSourceAway_whenQueried_thenItIsAnIoErrorAndThenItWorksAgain() throws Exception {
        AtomicBoolean away = new AtomicBoolean();
        BlockSource through = TestCluster.source(original);
        BlockSource source = (file, first, count) ->
                away.get() ? CompletableFuture.failedFuture(new IOException("away")) : through.read(file, first, count);
        ReadThroughSettings settings = new ReadThroughSettings(
                Duration.ofMillis(500), Duration.ofMillis(500), Duration.ofMillis(50), Long.MAX_VALUE);
        try (Started started = start(source, settings)) {
            TestCluster cluster = started.cluster();
            try (Connection connection = cluster.connect("postgres");
                    Statement statement = connection.createStatement()) {
                String oneRow = "select aid from accounts where aid = 1";
                statement.execute(oneRow);
                away.set(true);
                statement.execute(oneRow); // all local
                SQLException e =
                        assertThrows(SQLException.class, () -> statement.execute("select sum(abalance) from accounts"));
                assertEquals("58030", e.getSQLState());
                assertTrue(String.valueOf(e.getMessage()).contains("could not read"), e.getMessage());
                statement.execute(oneRow);
                away.set(false);
                statement.execute("select sum(abalance) from accounts");
            }
            assertTrue(cluster.isAlive());
        }
    }
}
