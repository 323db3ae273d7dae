package io.spg99.storage.snapshot;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.file.FileTree;
import io.spg99.storage.object.LocalObjectStore;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.readthrough.BlockRange;
import io.spg99.storage.readthrough.RelationFile;
import io.spg99.storage.safekeeper.TimelineBase;
import io.spg99.storage.wal.Lsn;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Snapshots of directories that look like PostgreSQL's, without PostgreSQL. */
class SnapshotBuilderTest {

    private static final TimelineBase BASE =
            new TimelineBase(ManifestCodecTest.TIMELINE, 99, 4 << 20, Lsn.parse("0/1000000"), new byte[160]);
    private static final OsUser NOBODY_ELSE = new OsUser("self", 0, 0, false);

    @TempDir
    Path root;

    private LocalObjectStore objects;
    private SnapshotStore store;
    private Path image;
    private Path data;
    private final Random random = new Random(7);
    private int made;

    @BeforeEach
    void makeImage() throws IOException {
        objects = new LocalObjectStore(root.resolve("objects"));
        store = new SnapshotStore(objects, BASE.timeline());
        image = root.resolve("image");
        data = root.resolve("data");
        write(image, "PG_VERSION", "17\n".getBytes(StandardCharsets.US_ASCII));
        write(image, "base/5/1259", blocks(20));
        write(image, "base/5/2619", blocks(3));
        write(image, "global/pg_control", blocks(1));
        Files.createDirectories(image.resolve("pg_wal"));
        write(image, "postgresql.conf", new byte[0]);
        copy(image, data);
    }

    private byte[] blocks(int count) {
        byte[] bytes = new byte[count * Blocks.SIZE];
        random.nextBytes(bytes);
        return bytes;
    }

    private static void write(Path directory, String path, byte[] content) throws IOException {
        Path file = directory.resolve(path);
        Files.createDirectories(file.getParent());
        Files.write(file, content);
    }

    private void overwrite(String path, int block, byte[] content) throws IOException {
        byte[] bytes = Files.readAllBytes(data.resolve(path));
        System.arraycopy(content, 0, bytes, block * Blocks.SIZE, content.length);
        Files.write(data.resolve(path), bytes);
    }

    private static void copy(Path from, Path to) throws IOException {
        try (Stream<Path> paths = Files.walk(from)) {
            for (Path path : paths.toList()) {
                Files.copy(path, to.resolve(from.relativize(path)), StandardCopyOption.COPY_ATTRIBUTES);
            }
        }
    }

    private Manifest first() throws IOException {
        return DataDirectory.imageManifest(image, "image", BASE);
    }

    private interface Change {
        void apply() throws IOException;
    }

    /** Hydrates, changes, and takes the next snapshot. */
    private Manifest next(Manifest before, Change change) throws IOException {
        hydrate(before);
        DataDirectory directory = new DataDirectory(data);
        DataDirectory.Content untouched = directory.content();
        change.apply();
        made++;
        Manifest manifest = SnapshotBuilder.build(
                store,
                new SnapshotReader(store, before, image),
                directory,
                untouched,
                Optional.empty(),
                new SnapshotBuilder.Target(
                        2, BASE.end().plus(made * 1000L), BASE.end().plus(made * 1000L + 100), at(1000 + made), made),
                root.resolve("scratch"));
        assertTrue(store.publish(manifest));
        assertFalse(Files.exists(root.resolve("scratch")));
        return manifest;
    }

    private static Clock at(long millis) {
        return Clock.fixed(Instant.ofEpochMilli(millis), ZoneOffset.UTC);
    }

    private void hydrate(Manifest manifest) throws IOException {
        FileTree.delete(data);
        copy(image, data);
        new DataDirectory(data)
                .hydrate(new SnapshotReader(store, manifest, image), new DataDirectory(image).content(), NOBODY_ELSE);
    }

    /** All files that belong into a snapshot. */
    private Map<String, byte[]> content() throws IOException {
        Map<String, byte[]> files = new TreeMap<>();
        for (String path : new DataDirectory(data).content().files().keySet()) {
            files.put(path, Files.readAllBytes(data.resolve(path)));
        }
        return files;
    }

    private void assertRestores(Manifest manifest) throws IOException {
        Map<String, byte[]> expected = content();
        hydrate(store.read(SnapshotStore.name(manifest)));
        Map<String, byte[]> actual = content();
        assertEquals(expected.keySet(), actual.keySet());
        expected.forEach((path, bytes) -> assertArrayEquals(bytes, actual.get(path), path));
    }

    @Test
    void givenChangesOfEveryKind_whenSnapshotsAreTaken_thenEachGivesTheFilesBackByteForByte() throws Exception {
        Manifest one = next(first(), () -> {
            overwrite("base/5/1259", 4, blocks(2));
            write(data, "base/16384/16385", blocks(40));
            write(data, "base/16384/16385_fsm", blocks(3));
            write(data, "base/16384/t3_16390", blocks(1));
            write(data, "pg_xact/0000", blocks(1));
            write(data, "pg_twophase/00000000000002E4", new byte[] {1, 2, 3});
            write(data, "pg_wal/000000010000000000000001", blocks(1));
            Files.delete(data.resolve("base/5/2619"));
        });
        assertFalse(one.file("base/16384/t3_16390").isPresent());
        assertFalse(one.file("pg_wal/000000010000000000000001").isPresent());
        Files.delete(data.resolve("base/16384/t3_16390"));
        assertRestores(one);

        Manifest two = next(one, () -> {
            overwrite("base/16384/16385", 13, blocks(1));
            overwrite("base/16384/16385", 20, new byte[Blocks.SIZE]);
            write(data, "base/5/2619", blocks(2));
            write(data, "base/16384/16385_fsm", blocks(1));
            Files.delete(data.resolve("pg_twophase/00000000000002E4"));
        });
        assertEquals(2, two.layers().size());
        assertEquals(1 + 2 + 1, two.layers().get(1).blocks(), "only what changed is in the new layer");
        assertRestores(two);

        Manifest three = next(two, () -> FileTree.delete(data.resolve("base/16384")));
        assertFalse(three.directories().contains("base/16384"));
        assertRestores(three);
    }

    @Test
    void givenNothingChanged_whenASnapshotIsTaken_thenItHasNoLayer() throws Exception {
        Manifest one = next(first(), () -> write(data, "base/5/1259", Files.readAllBytes(data.resolve("base/5/1259"))));

        assertTrue(one.layers().isEmpty());
        assertEquals(one, store.newest().orElseThrow());
        assertRestores(one);
    }

    @Test
    void givenRandomUpdatesForLong_whenSnapshotsAreTaken_thenLayersAreMergedAndStorageStaysSmall() throws Exception {
        Manifest manifest = next(first(), () -> write(data, "base/16384/16385", blocks(200)));
        for (int round = 0; round < 30; round++) {
            manifest = next(manifest, () -> {
                for (int i = 0; i < 20; i++) {
                    overwrite("base/16384/16385", random.nextInt(200), blocks(1));
                }
            });
            assertTrue(manifest.layers().size() <= SnapshotBuilder.MOST_LAYERS + 1);
            long held = manifest.layers().stream().mapToLong(Layer::blocks).sum();
            assertTrue(held <= 2 * 200 + 40, "round=" + round + " blocks=" + held);
        }
        assertRestores(manifest);
    }

    @Test
    void givenALayerWithAFlippedBit_whenRead_thenItIsReportedByNameAndNeverServed() throws Exception {
        Manifest manifest = next(first(), () -> write(data, "base/16384/16385", blocks(20)));
        String key = store.layerKey(manifest.layers().getFirst().name());
        byte[] bytes = objects.read(key, 0, (int) manifest.layers().getFirst().bytes());
        SnapshotFile file = manifest.file("base/16384/16385").orElseThrow();
        for (int i = 0; i < 120; i++) {
            int bit = i < 80 ? random.nextInt(bytes.length * 8) : (bytes.length - 1) * 8 - (i - 80);
            if (bit < LayerFormat.HEADER * 8) {
                continue;
            }
            byte[] changed = bytes.clone();
            changed[bit / 8] ^= (byte) (1 << bit % 8);
            objects.delete(key);
            objects.putIfAbsent(key, changed);
            CorruptSnapshotException e = assertThrows(
                    CorruptSnapshotException.class,
                    () -> new SnapshotReader(store, manifest, image)
                            .read(file, 0, 20, (first, count, b, offset) -> {}));
            assertTrue(String.valueOf(e.getMessage()).contains("object=" + key), e.getMessage());
        }
    }

    @Test
    void givenAShortLayer_whenRead_thenItFails() throws Exception {
        Manifest manifest = next(first(), () -> write(data, "base/16384/16385", blocks(20)));
        Layer layer = manifest.layers().getFirst();
        String key = store.layerKey(layer.name());
        byte[] bytes = objects.read(key, 0, (int) layer.bytes());
        objects.delete(key);
        objects.putIfAbsent(key, Arrays.copyOf(bytes, bytes.length - 1));
        SnapshotFile file = manifest.file("base/16384/16385").orElseThrow();

        assertThrows(
                IOException.class,
                () -> new SnapshotReader(store, manifest, image).read(file, 0, 20, (first, count, b, offset) -> {}));
    }

    @Test
    void givenTwoWhoMakeTheSameSnapshot_whenBothPublish_thenTheFirstStays() throws Exception {
        Manifest one = next(first(), () -> write(data, "base/16384/16385", blocks(2)));

        assertFalse(store.publish(one));
        assertEquals(one, store.newest().orElseThrow());
        assertEquals(one, store.newestUpTo(one.end()).orElseThrow());
        assertTrue(store.newestUpTo(new Lsn(one.end().value() - 1)).isEmpty());
    }

    @Test
    void givenAManifestUnderAnotherName_whenRead_thenItIsReported() throws Exception {
        Manifest one = next(first(), () -> write(data, "base/16384/16385", blocks(2)));
        String other = store.manifests() + "00000000FFFFFFFF-00000002";
        objects.putIfAbsent(other, ManifestCodec.encode(one));

        CorruptSnapshotException e = assertThrows(CorruptSnapshotException.class, store::newest);

        assertTrue(String.valueOf(e.getMessage()).contains(other), e.getMessage());
    }

    @Test
    void givenSingleBlocks_whenReadInAnyOrder_thenEachIsTheRightOne() throws Exception {
        byte[] content = blocks(100);
        Manifest manifest = next(first(), () -> write(data, "base/16384/16385", content));
        Manifest changed = next(manifest, () -> overwrite("base/16384/16385", 50, blocks(3)));
        byte[] expected = Files.readAllBytes(data.resolve("base/16384/16385"));
        SnapshotReader reader = new SnapshotReader(store, changed, image);
        SnapshotFile file = changed.file("base/16384/16385").orElseThrow();
        for (int i = 0; i < 300; i++) {
            int from = random.nextInt(100);
            int length = 1 + random.nextInt(100 - from);
            byte[] read = new byte[length * Blocks.SIZE];
            reader.read(
                    file,
                    from,
                    length,
                    (first, count, bytes, offset) ->
                            System.arraycopy(bytes, offset, read, (first - from) * Blocks.SIZE, count * Blocks.SIZE));
            assertArrayEquals(Arrays.copyOfRange(expected, from * Blocks.SIZE, (from + length) * Blocks.SIZE), read);
        }
    }

    @Test
    void givenBlocksChangedAtTheSameTime_whenOneIsAskedFor_thenAllOfItsGroupComeTogether() throws Exception {
        Manifest manifest = next(first(), () -> {
            write(data, "base/16384/16385", blocks(150));
            write(data, "base/16384/16390", new byte[0]);
            write(data, "base/16384/16391", blocks(3));
        });
        for (int round = 0; round < 12; round++) {
            manifest = next(manifest, () -> {
                for (int i = 0; i < 25; i++) {
                    overwrite("base/16384/16385", random.nextInt(150), blocks(1));
                }
                overwrite("base/16384/16391", random.nextInt(3), blocks(1));
                write(data, "pg_xact/0000", blocks(1));
            });
        }
        SnapshotReader reader = new SnapshotReader(store, manifest, image);
        SnapshotBlocks source = new SnapshotBlocks(reader, Runnable::run);
        Map<Long, List<BlockRange>> expected = groups(manifest);
        List<BlockRange> all = reader.inOrder(everyBlock(manifest));
        assertEquals(
                expected.values().stream().flatMap(List::stream).toList(),
                all.stream().filter(block -> block.file().database() == 16384).toList());
        assertArrayEquals(bytes(all), read(source, all));
        for (int i = 0; i < 50; i++) {
            List<BlockRange> some =
                    all.stream().filter(block -> random.nextInt(10) == 0).toList();
            assertArrayEquals(bytes(some), read(source, some), "blocks=" + some);
        }
        for (SnapshotFile file : manifest.files()) {
            Optional<RelationFile> relation = RelationFile.parse(file.path());
            for (int block = 0; relation.isPresent() && block < file.blocks(); block++) {
                SnapshotFile.Run run = file.runs().get(file.runOf(block));
                if (run.layer() >= 0) {
                    List<BlockRange> together = source.together(relation.get(), block);
                    long group = groupOf(run, block);
                    assertEquals(expected.get(group), singly(together), file.path() + " block " + block);
                    assertArrayEquals(bytes(together), read(source, together));
                }
            }
        }
    }

    /** And some that it does not have. */
    private static Map<RelationFile, BitSet> everyBlock(Manifest manifest) {
        Map<RelationFile, BitSet> blocks = new HashMap<>();
        blocks.put(new RelationFile(16384, 999, RelationFile.Fork.MAIN, 0), BitSet.valueOf(new long[] {1}));
        for (SnapshotFile file : manifest.files()) {
            RelationFile.parse(file.path()).ifPresent(relation -> {
                BitSet every = new BitSet();
                every.set(0, file.blocks() + 2);
                blocks.put(relation, every);
            });
        }
        return blocks;
    }

    private static long groupOf(SnapshotFile.Run run, int block) {
        return (long) run.layer() << 32 | (run.position() + block - run.first()) / LayerFormat.GROUP;
    }

    /** By looking at every block of every relation file. */
    private static Map<Long, List<BlockRange>> groups(Manifest manifest) {
        Map<Long, TreeMap<Integer, BlockRange>> groups = new TreeMap<>();
        for (SnapshotFile file : manifest.files()) {
            Optional<RelationFile> relation = RelationFile.parse(file.path());
            for (SnapshotFile.Run run : relation.isPresent() ? file.runs() : List.<SnapshotFile.Run>of()) {
                for (int block = run.first(); run.layer() >= 0 && block < run.end(); block++) {
                    groups.computeIfAbsent(groupOf(run, block), key -> new TreeMap<>())
                            .put(run.position() + block - run.first(), new BlockRange(relation.get(), block, 1));
                }
            }
        }
        Map<Long, List<BlockRange>> lists = new TreeMap<>();
        groups.forEach((group, blocks) -> lists.put(group, List.copyOf(blocks.values())));
        return lists;
    }

    private static List<BlockRange> singly(List<BlockRange> ranges) {
        return ranges.stream()
                .flatMap(range -> IntStream.range(range.first(), range.first() + range.count())
                        .mapToObj(block -> new BlockRange(range.file(), block, 1)))
                .toList();
    }

    /** What was written. */
    private byte[] bytes(List<BlockRange> ranges) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (BlockRange range : ranges) {
            byte[] file = Files.readAllBytes(data.resolve(range.file().path()));
            all.write(file, range.first() * Blocks.SIZE, range.count() * Blocks.SIZE);
        }
        return all.toByteArray();
    }

    private static byte[] read(SnapshotBlocks source, List<BlockRange> ranges) throws Exception {
        ByteBuffer blocks = source.read(ranges).toCompletableFuture().get(10, TimeUnit.SECONDS);
        byte[] bytes = new byte[blocks.remaining()];
        blocks.get(bytes);
        return bytes;
    }

    @Test
    void givenOldSnapshots_whenCollected_thenOnlyWhatTheKeptOnesNeedIsLeft() throws Exception {
        Manifest one = next(first(), () -> write(data, "base/16384/16385", blocks(20)));
        Manifest two = next(one, () -> overwrite("base/16384/16385", 3, blocks(1)));
        Manifest three = next(two, () -> write(data, "base/16384/16385", blocks(20)));
        assertEquals(1, three.layers().size());
        objects.putIfAbsent(store.layerKey(Layer.name(two.madeAtMillis(), 77)), new byte[] {1});

        // All were made within the retention time, in milliseconds 1001 to 1003.
        assertEquals(
                new SnapshotRetention.Collected(List.of(), true),
                SnapshotRetention.collect(store, 1004, Duration.ofMillis(10)));
        // The first was replaced in 1002, and needed until then plus the retention time.
        SnapshotRetention.collect(store, 1013, Duration.ofMillis(10));
        assertEquals(2, store.names().size());
        assertEquals(two, store.newestUpTo(two.end()).orElseThrow());
        SnapshotFile file = two.file("base/16384/16385").orElseThrow();
        new SnapshotReader(store, two, image).read(file, 0, 20, (first, count, bytes, offset) -> {});
        assertFalse(
                SnapshotRetention.collect(store, 9999, Duration.ofMillis(10)).more());
        assertEquals(three, store.newest().orElseThrow());
        assertEquals(1, store.names().size());
        assertEquals(1, objects.list(store.layers()).size(), "one that was never published is gone, too");
        hydrate(three);
        assertRestores(three);
    }

    @Test
    void givenADamagedManifestThatIsHeld_whenCollected_thenManifestsGoOnBeingDeletedAndLayersStay() throws Exception {
        Manifest one = next(first(), () -> write(data, "base/16384/16385", blocks(20)));
        Manifest two = next(one, () -> write(data, "base/16384/16385", blocks(20)));
        Manifest three = next(two, () -> write(data, "base/16384/16385", blocks(20)));
        store.hold(2, two);
        damage(two);

        List<String> deleted =
                SnapshotRetention.collect(store, 9999, Duration.ofMillis(10)).deleted();
        assertEquals(List.of(store.manifests() + SnapshotStore.name(one)), deleted);
        assertEquals(3, objects.list(store.layers()).size(), "it cannot be told which ones it names");

        store.release(2, two);
        SnapshotRetention.collect(store, 9999, Duration.ofMillis(10));
        assertEquals(List.of(SnapshotStore.name(three)), store.names());
        assertEquals(1, objects.list(store.layers()).size());
    }

    private void damage(Manifest manifest) throws IOException {
        String key = store.manifests() + SnapshotStore.name(manifest);
        objects.delete(key);
        objects.putIfAbsent(key, new byte[] {1, 2, 3});
    }

    @Test
    void givenALayerThatWasDeletedMeanwhile_whenPublished_thenItFailsAndThereIsNoSuchSnapshot() throws Exception {
        Manifest one = next(first(), () -> write(data, "base/16384/16385", blocks(20)));
        Manifest unpublished = new Manifest(
                one.timeline(),
                one.systemIdentifier(),
                one.segmentSize(),
                one.image(),
                one.generation(),
                one.redo(),
                one.end().plus(8),
                one.madeAtMillis(),
                one.layers(),
                one.directories(),
                one.files());
        String layer = store.layerKey(one.layers().getFirst().name());
        objects.delete(layer);

        IOException e = assertThrows(IOException.class, () -> store.publish(unpublished));

        assertTrue(String.valueOf(e.getMessage()).contains(layer), e.getMessage());
        assertEquals(one, store.newest().orElseThrow());
    }
}
