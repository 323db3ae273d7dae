package io.spg99.storage.readthrough;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.object.LocalObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.TestServers;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.snapshot.DataDirectory;
import io.spg99.storage.snapshot.SnapshotBlocks;
import io.spg99.storage.snapshot.SnapshotReader;
import io.spg99.storage.snapshot.SnapshotStore;
import io.spg99.storage.snapshot.SoftBasebackup;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.UUID;
import java.util.concurrent.ForkJoinPool;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/** From a snapshot to a running PostgreSQL, with hardly anything on its disk. */
class SoftBasebackupTest {

    private final TestServers servers = TestServers.shared();

    @Test
    void givenSnapshot_whenServerStartsOverItsSoftBasebackup_thenItReadsThrough() throws Exception {
        var library = ReadThroughLibrary.install(servers.directory("lib"));
        Assumptions.assumeTrue(library.isPresent(), "the library was not built");
        Path image = TestCluster.initdb();
        try (TestCluster cluster = TestCluster.start(image, Map.of())) {
            cluster.execute(
                    "create table t as select i, repeat('x', 100) as filler from generate_series(1, 20000) i",
                    "create unlogged table u (i int primary key)",
                    "insert into u values (1)");
        }
        TimelineBase base = new TimelineBase(
                new TimelineId(new UUID(1, 2).toString().replace("-", "")),
                99,
                16 << 20,
                Lsn.parse("0/1000000"),
                new byte[160]);
        Path root = servers.directory("soft");
        SnapshotStore store = new SnapshotStore(new LocalObjectStore(root.resolve("objects")), base.timeline());
        SnapshotReader snapshot = new SnapshotReader(store, DataDirectory.imageManifest(image, "image", base), image);

        OsUser user = servers.user();
        Path pgdata = user.createPrivateDirectory(root.resolve("pgdata"));
        SoftBasebackup laid =
                SoftBasebackup.lay(snapshot, pgdata, new DataDirectory.Content(List.of(), Map.of()), user);
        SortedMap<RelationFile, Integer> sizes = laid.sizes();
        assertTrue(TestCluster.diskUse(pgdata) < 2 << 20, "bytes=" + TestCluster.diskUse(pgdata));
        assertTrue(sizes.size() > 500);
        completeAsTheAgentDoes(image, pgdata);

        Path shared = root.resolve("shared");
        ReadThrough.prepare(shared, user, sizes, ReadThroughSettings.DEFAULT);
        try (ReadThrough agent = ReadThrough.open(
                        pgdata,
                        shared,
                        user,
                        new SnapshotBlocks(snapshot, ForkJoinPool.commonPool()),
                        ReadThroughSettings.DEFAULT);
                TestCluster cluster =
                        TestCluster.start(pgdata, library.orElseThrow().environment(shared))) {
            assertEquals("20000", cluster.query("select count(*) from t where length(filler) = 100"));
            assertEquals("0", cluster.query("select count(*) from u"), "recovery empties unlogged tables");
            assertTrue(agent.figures().residentBlocks() < agent.figures().totalBlocks() / 2);
        }
        assertFalse(Files.exists(pgdata.resolve("recovery.signal")));
    }

    /** Configuration and WAL are no part of a snapshot; recovery begins and ends as it does on a compute. */
    private void completeAsTheAgentDoes(Path image, Path pgdata) throws Exception {
        for (String name : List.of("postgresql.conf", "pg_hba.conf", "pg_ident.conf")) {
            servers.user().writePrivate(pgdata.resolve(name), Files.readAllBytes(image.resolve(name)));
        }
        try (Stream<Path> segments = Files.list(image.resolve("pg_wal"))) {
            for (Path segment : segments.filter(Files::isRegularFile).toList()) {
                servers.user()
                        .writePrivate(
                                pgdata.resolve("pg_wal").resolve(segment.getFileName()), Files.readAllBytes(segment));
            }
        }
        servers.user()
                .writePrivate(
                        pgdata.resolve("postgresql.auto.conf"),
                        "restore_command = '/bin/false'\n".getBytes(StandardCharsets.UTF_8));
        servers.user().writePrivate(pgdata.resolve("recovery.signal"), new byte[0]);
    }
}
