package io.spg99.storage.readthrough;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.postgres.PgWalDirectory;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.WalHistory;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.Map;
import java.util.SortedMap;
import org.junit.jupiter.api.Test;

/** What stock PostgreSQL has written. */
class WalBlocksTest {

    private static final int SEGMENT = 16 << 20;

    @Test
    void givenUpdatesHereAndThere_whenTheirWalIsRead_thenThePagesAreKnownThatTheyHaveChanged() throws Exception {
        Path pgdata = TestCluster.initdb();
        try (TestCluster cluster = TestCluster.start(pgdata, Map.of())) {
            cluster.execute(
                    "create table t (id int primary key, v int, filler text) with (fillfactor = 50, autovacuum_enabled = off)",
                    "insert into t select i, 0, repeat('x', 60) from generate_series(1, 100000) i",
                    "create table other (filler text)",
                    "create sequence s",
                    "vacuum t",
                    "checkpoint");
            Lsn redo = Lsn.parse(cluster.query("select redo_lsn from pg_control_checkpoint()"));
            cluster.execute(
                    "update t set v = 1 where id % 1000 = 7",
                    "insert into other select repeat(md5(i::text), 30) from generate_series(1, 40000) i",
                    "select nextval('s')",
                    "update t set v = 2 where id between 50501 and 50510",
                    "create database another");
            RelationFile table = file(cluster, "t");
            BitSet changed =
                    blocks(cluster, "select distinct (ctid::text::point)[0]::int from t where v > 0 order by 1");
            Lsn end = Lsn.parse(cluster.query("select pg_current_wal_flush_lsn()"));
            assertTrue(end.minus(redo) > 2 * SEGMENT, "over several segments: bytes=" + end.minus(redo));

            PgWalDirectory wal = new PgWalDirectory(
                    pgdata.resolve("pg_wal"), 0, SEGMENT, WalHistory.of(1, redo), redo.segmentStart(SEGMENT), end);
            SortedMap<RelationFile, BitSet> found = WalBlocks.read(wal, redo);
            assertTrue(changed.cardinality() > 90, changed.toString());
            assertEquals(changed, found.get(table));
            assertFalse(found.containsKey(file(cluster, "s")), "nor what each record makes anew");
            assertTrue(found.containsKey(file(cluster, "pg_database")), "a page that all databases share");
            assertFalse(found.containsKey(file(cluster, "other")), "new pages need not be read");

            // What ends in the middle of a record, or is no WAL from somewhere on, gives what comes before.
            damage(pgdata, redo.plus(SEGMENT).segmentStart(SEGMENT).plus(2 * 8192 + 100));
            SortedMap<RelationFile, BitSet> before = WalBlocks.read(wal, redo);
            int known = before.getOrDefault(table, new BitSet()).cardinality();
            assertTrue(known >= 90 && known < changed.cardinality(), "pages known: " + known);
        }
    }

    private static RelationFile file(TestCluster cluster, String relation) throws Exception {
        return RelationFile.parse(cluster.query("select pg_relation_filepath('" + relation + "')"))
                .orElseThrow();
    }

    private static BitSet blocks(TestCluster cluster, String query) throws Exception {
        BitSet blocks = new BitSet();
        cluster.query(query).lines().mapToInt(Integer::parseInt).forEach(blocks::set);
        return blocks;
    }

    private static void damage(Path pgdata, Lsn at) throws IOException {
        String name = "%08X%08X%08X".formatted(1, at.value() >>> 32, (at.value() & 0xFFFFFFFFL) / SEGMENT);
        try (RandomAccessFile segment =
                new RandomAccessFile(pgdata.resolve("pg_wal").resolve(name).toFile(), "rw")) {
            segment.seek(at.offset(SEGMENT));
            segment.write(new byte[8192]);
        }
    }
}
