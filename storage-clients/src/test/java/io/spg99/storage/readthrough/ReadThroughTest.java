package io.spg99.storage.readthrough;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.spg99.storage.file.FileTree;
import io.spg99.storage.postgres.NativeLibrary;
import io.spg99.storage.postgres.OsUser;
import io.spg99.storage.postgres.TestServers;
import io.spg99.storage.wal.Lsn;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.slf4j.LoggerFactory;

/** The library and the agent by themselves: processes that do single file calls, over a source that can be held and can fail. */
class ReadThroughTest {

    private static final int BLOCK = RelationFile.BLOCK;
    static final RelationFile TABLE = new RelationFile(5, 16384, RelationFile.Fork.MAIN, 0);
    private static final RelationFile SMALL = new RelationFile(5, 16385, RelationFile.Fork.VISIBILITY_MAP, 0);
    private static final RelationFile SHARED = new RelationFile(0, 1260, RelationFile.Fork.MAIN, 1);

    private static @Nullable Path program;

    private final PatternSource source = new PatternSource();
    private Path root;
    private Path pgdata;
    private Path shared;
    private ReadThroughLibrary library;
    private ReadThrough agent;

    private static synchronized Path program() throws IOException {
        Path compiled = program;
        if (compiled == null) {
            compiled = FileCalls.compile(TestServers.shared().directory("file-calls"));
            program = compiled;
        }
        return compiled;
    }

    @BeforeEach
    void prepare() throws IOException {
        root = Files.createTempDirectory(Path.of("/tmp"), "spg99-rt-");
        pgdata = Files.createDirectory(root.resolve("pgdata"));
        Files.createDirectories(pgdata.resolve("base/5"));
        Files.createDirectories(pgdata.resolve("global"));
        shared = root.resolve("shared");
        var installed = ReadThroughLibrary.install(root.resolve("lib"));
        Assumptions.assumeTrue(installed.isPresent(), "the library was not built");
        library = installed.orElseThrow();
        open(new ReadThroughSettings(
                Duration.ofSeconds(1), Duration.ofSeconds(1), Duration.ofMillis(20), Long.MAX_VALUE));
    }

    private void open(ReadThroughSettings settings) throws IOException {
        OsUser self = new OsUser("self", 0, 0, false);
        if (!Files.exists(shared)) {
            ReadThrough.prepare(shared, self, new TreeMap<>(Map.of(TABLE, 100, SMALL, 2, SHARED, 20)), settings);
        }
        agent = ReadThrough.open(pgdata, shared, self, source, settings);
    }

    @AfterEach
    void remove() throws IOException {
        agent.close();
        FileTree.delete(root);
    }

    private FileCalls process() throws IOException {
        return FileCalls.start(program(), pgdata, library.environment(shared));
    }

    private static String content(int first, int count) {
        return count * BLOCK + " " + PatternSource.sum(first, count);
    }

    private static String bytes(int count, int value) {
        return count * BLOCK + " " + (long) count * BLOCK * value;
    }

    @Test
    void givenNothingLocal_whenRead_thenTheSourcesBytesComeAndStay() throws Exception {
        try (FileCalls process = process()) {
            assertFalse(Files.exists(pgdata.resolve(TABLE.path())), "files are made when they are asked for");
            String fd = process.call("open base/5/16384");
            assertEquals(100L * BLOCK, Files.size(pgdata.resolve(TABLE.path())));
            assertEquals(Integer.toString(100 * BLOCK), process.call("stat base/5/16384"));
            assertEquals(content(7, 1), process.call("read " + fd + " " + 7 * BLOCK + " " + BLOCK));
            assertEquals(content(7, 9), process.call("vector " + fd + " " + 7 * BLOCK + " " + 9 * BLOCK));
            assertEquals(
                    "100 " + 100 * 8, process.call("read " + fd + " " + (7 * BLOCK + 50) + " 100"), "within a block");
            assertEquals(content(0, 3), process.call("stream " + fd + " " + 3 * BLOCK));
            assertEquals(content(3, 1), process.call("stream " + fd + " " + BLOCK), "read moves the file position");
            assertEquals(Integer.toString(100 * BLOCK), process.call("size " + fd));
            int asked = source.requests.size();
            assertEquals(content(7, 9), process.call("read " + fd + " " + 7 * BLOCK + " " + 9 * BLOCK));
            for (int i = 0; i < 40; i++) {
                process.call("read " + fd + " " + 7 * BLOCK + " " + 9 * BLOCK);
            }
            assertEquals(asked, source.requests.size(), "what is local is not asked for again");
            assertEquals("0 0", process.call("read " + fd + " " + 100 * BLOCK + " " + BLOCK), "beyond the end");
            assertEquals(
                    content(99, 1),
                    process.call("read " + fd + " " + 99 * BLOCK + " " + 4 * BLOCK),
                    "short at the end");
            String global = process.call("open global/1260.1");
            assertEquals(content(19, 1), process.call("read " + global + " " + 19 * BLOCK + " " + BLOCK));
            assertEquals("ENOENT", process.call("open base/5/16386"), "not in the map, not there");
        }
        ReadThroughFigures figures = agent.figures();
        assertEquals(122, figures.totalBlocks());
        assertEquals(figures.fetchedBlocks(), figures.residentBlocks());
        assertTrue(figures.misses() >= 15 && figures.hits() >= 256, figures.toString());
    }

    @Test
    void givenTwoProcesses_whenBothReadOneBlock_thenItIsFetchedOnce() throws Exception {
        source.hold();
        try (FileCalls one = process();
                FileCalls other = process()) {
            String fd = one.call("open base/5/16384");
            assertEquals(fd, other.call("open base/5/16384"));
            one.begin("read " + fd + " 0 " + BLOCK);
            other.begin("read " + fd + " 0 " + BLOCK);
            await("both wait").until(() -> agent.figures().misses() == 2);
            assertFalse(one.hasAnswered() || other.hasAnswered());
            source.release();
            assertEquals(content(0, 1), one.end());
            assertEquals(content(0, 1), other.end());
            assertEquals(List.of(new BlockRange(TABLE, 0, 1)), source.requests);
        }
    }

    @Test
    void givenBlockIsBeingFetched_whenAnotherProcessWritesIt_thenTheWriteWins() throws Exception {
        source.hold();
        try (FileCalls reader = process();
                FileCalls writer = process()) {
            String fd = reader.call("open base/5/16384");
            writer.call("open base/5/16384");
            reader.begin("read " + fd + " 0 " + BLOCK);
            await("it waits").until(() -> agent.figures().misses() == 1);
            writer.begin("write " + fd + " 0 " + 2 * BLOCK + " 200");
            source.release();
            assertEquals(Integer.toString(2 * BLOCK), writer.end());
            String seen = reader.end();
            assertTrue(List.of(content(0, 1), bytes(1, 200)).contains(seen), seen);
            assertEquals(bytes(2, 200), reader.call("read " + fd + " 0 " + 2 * BLOCK));
            assertEquals(List.of(new BlockRange(TABLE, 0, 1)), source.requests, "the second block was never fetched");
        }
        assertEquals(2, agent.figures().dirtyBlocks());
    }

    @Test
    void givenMissingBlock_whenPartOfItIsWritten_thenTheRestIsFetchedFirst() throws Exception {
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            assertEquals("92", process.call("write " + fd + " " + (4 * BLOCK + 100) + " 92 0"));
            assertEquals(BLOCK + " " + (BLOCK - 92) * 5, process.call("read " + fd + " " + 4 * BLOCK + " " + BLOCK));
        }
    }

    @Test
    void givenDescriptorReused_whenRead_thenItIsTheOtherFile() throws Exception {
        Files.write(pgdata.resolve("PG_VERSION"), new byte[] {1, 2, 3});
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            assertEquals(content(0, 1), process.call("read " + fd + " 0 " + BLOCK));
            assertEquals("0", process.call("close " + fd));
            assertEquals(fd, process.call("open PG_VERSION"));
            assertEquals("3 6", process.call("read " + fd + " 0 " + BLOCK));
            assertEquals("0", process.call("close " + fd));
            assertEquals(fd, process.call("open base/5/16385_vm"));
            assertEquals(content(1, 1), process.call("read " + fd + " " + BLOCK + " " + BLOCK));
        }
    }

    @Test
    void givenFork_whenChildReads_thenItHasAConnectionOfItsOwn() throws Exception {
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            assertEquals(content(0, 1), process.call("read " + fd + " 0 " + BLOCK));
            assertEquals(content(20, 1), process.call("fork read " + fd + " " + 20 * BLOCK + " " + BLOCK));
            assertEquals(content(40, 2), process.call("read " + fd + " " + 40 * BLOCK + " " + 2 * BLOCK));
            assertEquals(content(60, 1), process.call("fork read " + fd + " " + 60 * BLOCK + " " + BLOCK));
        }
    }

    @Test
    void givenTruncated_whenExtendedAgain_thenNothingOldComesBack() throws Exception {
        try (FileCalls process = process();
                FileCalls other = process()) {
            String fd = process.call("open base/5/16384");
            other.call("open base/5/16384");
            assertEquals("0", process.call("truncate " + fd + " " + 10 * BLOCK));
            assertEquals("0 0", other.call("read " + fd + " " + 10 * BLOCK + " " + BLOCK));
            assertEquals(content(9, 1), other.call("read " + fd + " " + 9 * BLOCK + " " + 2 * BLOCK));
            assertEquals(Integer.toString(BLOCK), process.call("write " + fd + " " + 12 * BLOCK + " " + BLOCK + " 7"));
            assertEquals(bytes(2, 0), other.call("read " + fd + " " + 10 * BLOCK + " " + 2 * BLOCK));
            assertEquals(bytes(1, 7), other.call("read " + fd + " " + 12 * BLOCK + " " + BLOCK));
            assertEquals(Integer.toString(BLOCK), process.call("write " + fd + " " + 150 * BLOCK + " " + BLOCK + " 3"));
            assertEquals(bytes(1, 3), other.call("read " + fd + " " + 150 * BLOCK + " " + BLOCK), "beyond the map");
            assertEquals("0", process.call("truncate-path base/5/16385_vm 0"));
            assertEquals("0", process.call("stat base/5/16385_vm"));
        }
        assertTrue(source.requests.stream().noneMatch(r -> r.file().equals(TABLE) && r.first() >= 10));
    }

    @Test
    void givenFetchUnderWay_whenTruncated_thenItWaitsAndTheFileStaysShort() throws Exception {
        source.hold();
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            assertEquals("0", process.call("prefetch " + fd + " " + 50 * BLOCK + " " + 4 * BLOCK));
            await("it is under way").until(() -> !source.requests.isEmpty());
            process.begin("truncate " + fd + " 0");
            assertFalse(process.hasAnswered());
            source.release();
            assertEquals("0", process.end());
        }
        assertEquals(0, Files.size(pgdata.resolve(TABLE.path())));
    }

    private static final BlockRange ASKED = new BlockRange(TABLE, 7, 1);

    /** One is asked for ahead as recovery does it. */
    private void prefetchOneOfAGroup(FileCalls process, String fd) throws IOException {
        assertEquals("0", process.call("prefetch " + fd + " " + 7 * BLOCK + " " + BLOCK));
        await("it is under way").until(() -> source.requests.contains(ASKED));
    }

    @Test
    void givenBlocksCompressedTogether_whenOneIsAskedForAhead_thenAllThatAreMissingComeWithIt() throws Exception {
        source.compressTogether(
                new BlockRange(TABLE, 30, 2),
                ASKED,
                new BlockRange(TABLE, 50, 3),
                new BlockRange(SMALL, 0, 1),
                new BlockRange(SHARED, 19, 4),
                new BlockRange(new RelationFile(5, 9, RelationFile.Fork.MAIN, 0), 0, 1));
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            String global = process.call("open global/1260.1");
            process.call("write " + fd + " " + 51 * BLOCK + " " + BLOCK + " 99");
            prefetchOneOfAGroup(process, fd);
            await("all are there").until(() -> agent.figures().fetchedBlocks() == 6);
            List<BlockRange> asked = List.copyOf(source.requests);
            assertEquals(
                    List.of(
                            new BlockRange(TABLE, 30, 2),
                            ASKED,
                            new BlockRange(TABLE, 50, 1),
                            new BlockRange(TABLE, 52, 1),
                            new BlockRange(SHARED, 19, 1)),
                    asked,
                    "neither what was written here, nor what lies beyond the end, nor files that nobody has opened or that are unknown");
            assertFalse(Files.exists(pgdata.resolve(SMALL.path())));
            assertEquals(content(30, 2), process.call("read " + fd + " " + 30 * BLOCK + " " + 2 * BLOCK));
            assertEquals(content(7, 1), process.call("read " + fd + " " + 7 * BLOCK + " " + BLOCK));
            assertEquals(content(50, 1), process.call("read " + fd + " " + 50 * BLOCK + " " + BLOCK));
            assertEquals(bytes(1, 99), process.call("read " + fd + " " + 51 * BLOCK + " " + BLOCK));
            assertEquals(content(19, 1), process.call("read " + global + " " + 19 * BLOCK + " " + BLOCK));
            assertEquals(asked, source.requests, "each is fetched once");
        }
    }

    @Test
    void givenAGroupBeingFetched_whenItsBlocksAreWrittenReadOrCut_thenEachWaitsForItAndNothingOldComesBack()
            throws Exception {
        source.compressTogether(ASKED, new BlockRange(TABLE, 30, 2), new BlockRange(SHARED, 3, 2));
        try (FileCalls process = process();
                FileCalls writer = process();
                FileCalls reader = process();
                FileCalls cutter = process()) {
            String fd = process.call("open base/5/16384");
            assertEquals(fd, writer.call("open base/5/16384"));
            assertEquals(fd, reader.call("open base/5/16384"));
            String global = cutter.call("open global/1260.1");
            source.hold();
            prefetchOneOfAGroup(process, fd);
            writer.begin("write " + fd + " " + 30 * BLOCK + " " + BLOCK + " 99");
            reader.begin("read " + fd + " " + 30 * BLOCK + " " + 3 * BLOCK);
            cutter.begin("truncate " + global + " " + 3 * BLOCK);
            await("the reader's own block is asked for")
                    .until(() -> source.requests.contains(new BlockRange(TABLE, 32, 1)));
            assertFalse(writer.hasAnswered() || reader.hasAnswered() || cutter.hasAnswered());
            source.release();
            writer.end();
            reader.end();
            assertEquals("0", cutter.end());
            assertEquals(bytes(1, 99), process.call("read " + fd + " " + 30 * BLOCK + " " + BLOCK));
            assertEquals(content(31, 2), process.call("read " + fd + " " + 31 * BLOCK + " " + 2 * BLOCK));
            assertEquals(3L * BLOCK, Files.size(pgdata.resolve(SHARED.path())));
        }
        assertEquals(1, agent.figures().dirtyBlocks());
    }

    @Test
    void givenAGroupThatCannotBeHad_whenItsBlocksAreRead_thenEachIsAskedForByItself() throws Exception {
        source.compressTogether(ASKED, new BlockRange(TABLE, 30, 2));
        source.failWith(new IOException("away"));
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            prefetchOneOfAGroup(process, fd);
            source.failWith(null);
            assertEquals(content(31, 1), process.call("read " + fd + " " + 31 * BLOCK + " " + BLOCK));
            assertEquals(content(7, 1), process.call("read " + fd + " " + 7 * BLOCK + " " + BLOCK));
        }
        assertEquals(0, agent.figures().failedReads());
    }

    @Test
    void givenWhatRecoveryWillRead_whenItIsForeseen_thenItComesInThatOrderAndNothingTwice() throws Exception {
        source.compressTogether(ASKED, new BlockRange(TABLE, 30, 2));
        try (FileCalls process = process();
                FileCalls reader = process()) {
            String fd = process.call("open base/5/16384");
            assertEquals(fd, reader.call("open base/5/16384"));
            source.hold();
            List<BlockRange> foreseen = List.of(
                    new BlockRange(TABLE, 90, 1), new BlockRange(SHARED, 4, 1), ASKED, new BlockRange(TABLE, 98, 9));
            CompletableFuture<Void> done = agent.foresee(foreseen).toCompletableFuture();
            await("it is under way").until(() -> source.requests.size() == 4);
            assertEquals("0", process.call("prefetch " + fd + " " + 31 * BLOCK + " " + BLOCK));
            reader.begin("read " + fd + " " + 90 * BLOCK + " " + BLOCK);
            source.release();
            done.get(10, TimeUnit.SECONDS);
            reader.end();
            assertEquals(content(7, 1), process.call("read " + fd + " " + 7 * BLOCK + " " + BLOCK));
            assertEquals(content(98, 2), process.call("read " + fd + " " + 98 * BLOCK + " " + 2 * BLOCK));
            assertEquals(
                    List.of(foreseen.get(0), foreseen.get(1), ASKED, new BlockRange(TABLE, 98, 2)),
                    source.requests,
                    "what is asked for ahead meanwhile comes by itself");
            assertEquals("0", process.call("prefetch " + fd + " " + 31 * BLOCK + " " + BLOCK));
            await("afterwards it comes as ever").until(() -> agent.figures().fetchedBlocks() == 7);
        }
    }

    @Test
    void givenOthersBlocksThatAreDamaged_whenABlockIsReadThatCameWithThem_thenItIsAskedForByItself() throws Exception {
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            source.hold();
            CompletableFuture<Void> done =
                    agent.fetch(List.of(ASKED, new BlockRange(TABLE, 30, 1))).toCompletableFuture();
            await("it is under way").until(() -> source.requests.size() == 2);
            process.begin("read " + fd + " " + 30 * BLOCK + " " + BLOCK);
            await("it is waited for").until(() -> agent.figures().misses() == 1);
            source.failWith(new UnreadableBlocksException("damaged", new IOException("checksum")));
            source.failOnly(ASKED);
            source.release();
            assertEquals(content(30, 1), process.end());
            assertThrows(ExecutionException.class, () -> done.get(10, TimeUnit.SECONDS));
        }
        assertEquals(0, agent.figures().failedReads());
    }

    @Test
    void givenRemovedOrRenamed_whenTheNameIsUsedAgain_thenItIsAnOrdinaryFile() throws Exception {
        try (FileCalls process = process()) {
            assertEquals("0", process.call("unlink base/5/16384"), "never made, and gone");
            assertEquals("ENOENT", process.call("unlink base/5/16384"));
            assertEquals("ENOENT", process.call("open base/5/16384"));
            String fd = process.call("create base/5/16384");
            assertEquals("0 0", process.call("read " + fd + " 0 " + BLOCK));

            assertEquals("0", process.call("rename base/5/16385_vm base/5/1"));
            String moved = process.call("open base/5/1");
            assertEquals(content(0, 2), process.call("read " + moved + " 0 " + 2 * BLOCK));
            assertEquals("ENOENT", process.call("stat base/5/16385_vm"));
        }
    }

    @Test
    void givenDirectory_whenListed_thenAllItsFilesAreThereAndWhenRemovedTheyAreGone() throws Exception {
        try (FileCalls process = process()) {
            assertEquals(Integer.toString(2 * BLOCK), process.call("stat base/5/16385_vm"));
            assertEquals("2", process.call("list base/5"));
            assertEquals("0", process.call("unlink base/5/16384"));
            assertEquals("0", process.call("unlink base/5/16385_vm"));
            assertEquals("0", process.call("rmdir base/5"));
            Files.createDirectory(pgdata.resolve("base/5"));
            assertEquals("0", process.call("list base/5"));
        }
    }

    @Test
    void givenSourceFails_whenItRecoversInTime_thenTheReadOnlyTookLonger() throws Exception {
        source.failWith(new IOException("away"));
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            process.begin("read " + fd + " 0 " + BLOCK);
            await("it was tried several times").until(() -> source.requests.size() > 3);
            assertFalse(process.hasAnswered());
            source.failWith(null);
            assertEquals(content(0, 1), process.end());

            source.failWith(new IOException("away"));
            assertEquals("EIO", process.call("read " + fd + " " + BLOCK + " " + BLOCK));
            source.failWith(null);
            assertEquals(
                    content(1, 1),
                    process.call("read " + fd + " " + BLOCK + " " + BLOCK),
                    "and it is no lasting error");
        }
        assertEquals(1, agent.figures().failedReads());
    }

    @Test
    void givenDamagedBlock_whenRead_thenTheErrorComesAtOnce() throws Exception {
        source.failWith(new UnreadableBlocksException("damaged", new IOException("checksum")));
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            assertEquals("EIO", process.call("read " + fd + " 0 " + BLOCK));
        }
        assertEquals(1, source.requests.size());
    }

    @Test
    void givenAgentRestarts_whenProcessReads_thenItWaitsForTheNewOne() throws Exception {
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            assertEquals(content(0, 1), process.call("read " + fd + " 0 " + BLOCK));
            source.hold();
            process.begin("read " + fd + " " + 5 * BLOCK + " " + BLOCK);
            await("it waits").until(() -> agent.figures().misses() == 2);
            agent.close();
            source.hold(); // what the first agent asked for never comes
            source.release();
            open(ReadThroughSettings.DEFAULT);
            assertEquals(content(5, 1), process.end());
            assertEquals(content(0, 1), process.call("read " + fd + " 0 " + BLOCK), "what was there still is");
        }
    }

    @Test
    void givenSequentialReads_thenBlocksAreFetchedAhead() throws Exception {
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            for (int block = 0; block < 16; block++) {
                assertEquals(content(block, 1), process.call("read " + fd + " " + block * BLOCK + " " + BLOCK));
            }
            await("more than was read is there").until(() -> agent.figures().residentBlocks() >= 40);
            assertTrue(source.requests.size() < 16, "requests=" + source.requests);
        }
    }

    @Test
    void givenCleanAndDirtyBlocks_whenEvicted_thenOnlyCleanOnesGoAndComeBack() throws Exception {
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            process.call("read " + fd + " 0 " + 100 * BLOCK);
            process.call("write " + fd + " " + 10 * BLOCK + " " + 2 * BLOCK + " 99");
            long before = blocksOnDisk(TABLE);
            assertEquals(98, agent.evict(1000));
            assertEquals(2, agent.figures().residentBlocks());
            assertTrue(blocksOnDisk(TABLE) < before / 4, "disk space is given back");
            assertEquals(100L * BLOCK, Files.size(pgdata.resolve(TABLE.path())));
            assertEquals(bytes(2, 99), process.call("read " + fd + " " + 10 * BLOCK + " " + 2 * BLOCK));
            assertEquals(content(0, 10), process.call("read " + fd + " 0 " + 10 * BLOCK));
            assertEquals(content(12, 88), process.call("read " + fd + " " + 12 * BLOCK + " " + 88 * BLOCK));
        }
    }

    /** As the pattern's, but for one block. */
    private BlockSource newer(int block, AtomicInteger value) {
        return (file, first, count) -> source.read(file, first, count).thenApply(bytes -> {
            if (file.equals(TABLE) && first <= block && block < first + count) {
                byte[] other = new byte[BLOCK];
                Arrays.fill(other, (byte) value.get());
                bytes.put((block - first) * BLOCK, other);
            }
            return bytes;
        });
    }

    private static int sizes(RelationFile file) {
        return file.equals(TABLE) ? 100 : file.equals(SHARED) ? 20 : 2;
    }

    @Test
    void givenChangedBlocks_whenTheSourceIsNewer_thenThoseGoThatItHasInTheSameVersion() throws Exception {
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            process.call("write " + fd + " " + 10 * BLOCK + " " + 3 * BLOCK + " 99");
            String small = process.call("open base/5/16385_vm");
            process.call("write " + small + " 0 " + BLOCK + " 1");
            assertEquals(0, agent.evict(1000), "the source is older");
            assertTrue(agent.moveTo(newer(11, new AtomicInteger(99)), new Lsn(Long.MAX_VALUE), ReadThroughTest::sizes));
            assertEquals(1, agent.evict(1000));
            assertEquals(3, agent.figures().dirtyBlocks(), "two of other versions, and no visibility map");
            assertEquals(bytes(3, 99), process.call("read " + fd + " " + 10 * BLOCK + " " + 3 * BLOCK));
            assertEquals(new BlockRange(TABLE, 11, 1), source.requests.getLast());
            assertEquals(3, agent.figures().dirtyBlocks());
            assertEquals(1, agent.evict(1000), "it is as in the source now");
        }
    }

    private static final RelationFile NEW = new RelationFile(5, 20000, RelationFile.Fork.MAIN, 0);

    /** What is written here, too: every byte of the blocks that the map did not list. */
    private final BlockSource withAdded =
            (file, first, count) -> source.read(file, first, count).thenApply(bytes -> {
                for (int i = 0; i < count; i++) {
                    if (first + i >= listed(file)) {
                        byte[] other = new byte[BLOCK];
                        Arrays.fill(other, (byte) 99);
                        bytes.put(i * BLOCK, other);
                    }
                }
                return bytes;
            });

    private static int listed(RelationFile file) {
        return file.equals(NEW) ? 0 : sizes(file);
    }

    @Test
    void givenAFileThatIsNew_whenANewerSourceHasIt_thenItIsGivenBackAndComesFromThere() throws Exception {
        try (FileCalls process = process();
                FileCalls other = process()) {
            String fd = process.call("create base/5/20000");
            assertEquals(fd, other.call("open base/5/20000"));
            process.call("write " + fd + " 0 " + 20 * BLOCK + " 99");
            assertEquals(bytes(20, 99), other.call("read " + fd + " 0 " + 20 * BLOCK));
            assertEquals(20, agent.figures().dirtyBlocks());
            assertEquals(0, agent.evict(1000), "no source has it");
            assertTrue(agent.moveTo(withAdded, new Lsn(Long.MAX_VALUE), file -> file.equals(NEW) ? 20 : sizes(file)));
            long before = blocksOnDisk(NEW);
            assertEquals(20, agent.evict(1000));
            assertTrue(blocksOnDisk(NEW) < before / 4, "disk space is given back");
            assertEquals(bytes(20, 99), other.call("read " + fd + " 0 " + 20 * BLOCK));
            assertEquals(bytes(2, 99), process.call("read " + fd + " " + 3 * BLOCK + " " + 2 * BLOCK));
            assertTrue(
                    source.requests.stream().anyMatch(request -> request.file().equals(NEW)));

            agent.evict(1000);
            assertFalse(
                    agent.moveTo(withAdded, new Lsn(Long.MAX_VALUE), ReadThroughTest::listed), "it was removed there");
            assertEquals("0", process.call("truncate " + fd + " " + 5 * BLOCK));
            process.call("write " + fd + " " + 10 * BLOCK + " " + BLOCK + " 7");
            assertEquals(bytes(5, 99), other.call("read " + fd + " 0 " + 5 * BLOCK));
            assertEquals(bytes(5, 0), other.call("read " + fd + " " + 5 * BLOCK + " " + 5 * BLOCK));
            assertEquals(bytes(1, 7), other.call("read " + fd + " " + 10 * BLOCK + " " + 3 * BLOCK));

            assertEquals("0", process.call("unlink base/5/20000"));
            assertEquals("ENOENT", other.call("open base/5/20000"));
            assertTrue(agent.moveTo(withAdded, new Lsn(Long.MAX_VALUE), ReadThroughTest::listed));
            String again = process.call("create base/5/20000");
            process.call("write " + again + " 0 " + BLOCK + " 1");
            assertEquals(0, agent.evict(1000), "an ordinary file from now on");
            assertEquals(bytes(1, 1), process.call("read " + again + " 0 " + BLOCK));
        }
    }

    @Test
    void givenAMapWithoutRoom_whenFilesAreMade_thenTheyStayAndItIsSaidOnce() throws Exception {
        ListAppender<ILoggingEvent> log = new ListAppender<>();
        log.list = new CopyOnWriteArrayList<>();
        log.start();
        Logger logger = (Logger) LoggerFactory.getLogger(ReadThrough.class);
        logger.addAppender(log);
        try (FileCalls process = process();
                FileChannel map = FileChannel.open(shared.resolve("map"), StandardOpenOption.WRITE)) {
            agent.figures();
            assertEquals(0, saidFull(log));
            // As if that many had been made.
            ByteBuffer added =
                    ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(0, 16384);
            map.write(added, 36);

            String fd = process.call("create base/5/16999");
            assertEquals(Integer.toString(BLOCK), process.call("write " + fd + " 0 " + BLOCK + " 7"));
            assertEquals(bytes(1, 7), process.call("read " + fd + " 0 " + BLOCK));
            agent.figures();
            agent.figures();
            assertEquals(1, saidFull(log));
        } finally {
            logger.detachAppender(log);
        }
    }

    /** Agents of tests that are over may still say something. */
    private static long saidFull(ListAppender<ILoggingEvent> log) {
        return log.list.stream()
                .filter(event -> event.getMessage().startsWith("presence map is full"))
                .count();
    }

    @Test
    void givenAFileThatWasThereUnlisted_whenOpenedToBeMade_thenItStaysAnOrdinaryOne() throws Exception {
        Files.write(pgdata.resolve(NEW.path()), new byte[2 * BLOCK]);
        try (FileCalls process = process();
                FileCalls other = process()) {
            String fd = process.call("open base/5/20000");
            assertEquals(fd, other.call("create base/5/20000"));
            other.call("write " + fd + " 0 " + 2 * BLOCK + " 99");
            assertTrue(agent.moveTo(withAdded, new Lsn(Long.MAX_VALUE), file -> file.equals(NEW) ? 2 : sizes(file)));
            assertEquals(0, agent.evict(1000), "the first process would read a hole");
            assertEquals(bytes(2, 99), process.call("read " + fd + " 0 " + 2 * BLOCK));
        }
    }

    @Test
    void givenBlocksBeyondThoseOfTheMap_whenANewerSourceHasThem_thenTheyAreGivenBackAndComeFromThere()
            throws Exception {
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            String global = process.call("open global/1260.1");
            process.call("write " + fd + " " + 100 * BLOCK + " " + 60 * BLOCK + " 99");
            process.call("write " + fd + " " + 9000L * BLOCK + " " + 3 * BLOCK + " 99");
            process.call("write " + global + " " + 20 * BLOCK + " " + 5 * BLOCK + " 99");
            assertTrue(agent.moveTo(withAdded, new Lsn(Long.MAX_VALUE), file -> 10_000));
            assertEquals(68, agent.evict(1000));
            assertEquals(0, agent.figures().dirtyBlocks());
            assertEquals(bytes(60, 99), process.call("read " + fd + " " + 100 * BLOCK + " " + 60 * BLOCK));
            assertEquals(bytes(3, 99), process.call("vector " + fd + " " + 9000L * BLOCK + " " + 3 * BLOCK));
            assertEquals(
                    bytes(2, 0), process.call("read " + fd + " " + 500 * BLOCK + " " + 2 * BLOCK), "never written");
            assertEquals(bytes(5, 99), process.call("read " + global + " " + 20 * BLOCK + " " + 5 * BLOCK));
            assertEquals("0", process.call("truncate " + fd + " " + 110 * BLOCK));
            process.call("write " + fd + " " + 130 * BLOCK + " " + BLOCK + " 7");
            assertEquals(bytes(10, 99), process.call("read " + fd + " " + 100 * BLOCK + " " + 10 * BLOCK));
            assertEquals(bytes(20, 0), process.call("read " + fd + " " + 110 * BLOCK + " " + 20 * BLOCK));
        }
    }

    @Test
    void givenANewerSourceThatEndsBeforeABlockWasChanged_whenEvicted_thenItIsNotEvenAsked() throws Exception {
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            process.call("write " + fd + " " + 10 * BLOCK + " " + 3 * BLOCK + " 99");
            assertTrue(agent.moveTo(newer(11, new AtomicInteger(99)), new Lsn(99), ReadThroughTest::sizes));
            assertEquals(0, agent.evict(1000));
            assertEquals(List.of(), source.requests);
        }
    }

    @Test
    void givenATruncation_whenTheNewerSourceHasIt_thenTheMoveWaitsForIt() throws Exception {
        AtomicInteger any = new AtomicInteger(7);
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            assertFalse(agent.moveTo(newer(11, any), new Lsn(1), file -> file.equals(TABLE) ? 90 : sizes(file)));
            assertEquals(
                    content(11, 1), process.call("read " + fd + " " + 11 * BLOCK + " " + BLOCK), "nothing changed");
            process.call("truncate " + fd + " " + 90 * BLOCK);
            assertTrue(agent.moveTo(newer(12, any), new Lsn(1), file -> file.equals(TABLE) ? 90 : sizes(file)));
            assertEquals(bytes(1, 7), process.call("read " + fd + " " + 12 * BLOCK + " " + BLOCK));
        }
    }

    @ParameterizedTest(name = "block {0}")
    @ValueSource(ints = {50, 150}) // One that the map lists, and one beyond those.
    void givenWritersUnderEviction_whenTheSourceIsNewAndOld_thenNobodyReadsWhatIsStale(int block) throws Exception {
        AtomicInteger inSource = new AtomicInteger();
        assertTrue(agent.moveTo(newer(block, inSource), new Lsn(Long.MAX_VALUE), file -> 200));
        long gone = 0;
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            for (int round = 0; round < 400; round++) {
                int value = 1 + round % 120;
                // What the source has is never newer than what was written.
                if (round % 3 != 0) {
                    inSource.set(1 + Math.max(0, round - 1) % 120);
                }
                process.begin("write " + fd + " " + block * BLOCK + " " + BLOCK + " " + value);
                gone += agent.evict(1000);
                process.end();
                if (round % 2 == 0) {
                    inSource.set(value);
                    gone += agent.evict(1000);
                }
                assertEquals(
                        bytes(1, value),
                        process.call("read " + fd + " " + block * BLOCK + " " + BLOCK),
                        "round " + round);
            }
        }
        assertTrue(gone > 100, "evicted=" + gone);
    }

    @Test
    void givenAnAgentThatIsKilledWhileItLooksAtAChangedBlock_whenAnotherServes_thenTheBlockIsStillThere()
            throws Exception {
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            process.call("write " + fd + " " + 10 * BLOCK + " " + BLOCK + " 99");
            agent.close();
            PresenceMap map = PresenceMap.open(shared.resolve("map"));
            int index = map.indexOf(TABLE);
            assertTrue(map.change(index, 10, map.state(index, 10), PresenceMap.CHECKING));
            open(ReadThroughSettings.DEFAULT);
            assertEquals(bytes(1, 99), process.call("read " + fd + " " + 10 * BLOCK + " " + BLOCK));
        }
    }

    /** In units of 512 bytes. */
    private long blocksOnDisk(RelationFile file) throws IOException {
        return Long.parseLong(io.spg99.storage.postgres.Programs.run(
                        List.of(
                                "/usr/bin/stat",
                                "-c",
                                "%b",
                                pgdata.resolve(file.path()).toString()),
                        Map.of(),
                        "",
                        Duration.ofSeconds(5))
                .strip());
    }

    @Test
    void givenReadersUnderEviction_thenNobodyReadsAHole() throws Exception {
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            for (int round = 0; round < 300; round++) {
                process.begin("read " + fd + " 0 " + 100 * BLOCK);
                agent.evict(50);
                assertEquals(content(0, 100), process.end(), "round " + round);
            }
        }
        assertTrue(agent.figures().evictedBlocks() > 100, agent.figures().toString());
    }

    @Test
    void givenAHelperThatPunchesAndEndsWithoutAnAnswer_whenEvicted_thenNobodyReadsAHoleAndTheNextOneGoesOn()
            throws Exception {
        Path real = NativeLibrary.install("spg99_punch", root.resolve("lib")).orElseThrow();
        Path helper = NativeLibrary.install("spg99_punch", shared).orElseThrow();
        Files.writeString(helper, "#!/bin/sh\nread -r line\necho \"$line\" | '" + real + "' \"$1\" >/dev/null\n");
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            String all = "read " + fd + " 0 " + 100 * BLOCK;
            assertEquals(content(0, 100), process.call(all));

            assertThrows(IOException.class, () -> agent.evict(100));
            assertEquals(content(0, 100), process.call(all));

            Files.copy(real, helper, StandardCopyOption.REPLACE_EXISTING);
            assertEquals(100, agent.evict(100));
            assertEquals(content(0, 100), process.call(all));
        }
    }

    @Test
    void givenNoDescriptorsLeft_whenAProcessConnects_thenItWaitsUntilThereAreSome() throws Exception {
        agent.close();
        Process node = AgentMain.start(pgdata, shared, 200);
        try (FileCalls process = process();
                BufferedReader said = node.inputReader(StandardCharsets.UTF_8);
                OutputStream told = node.getOutputStream()) {
            awaitSaid(said, AgentMain.NONE_LEFT);
            String fd = process.call("open base/5/16384");
            process.begin("read " + fd + " 0 " + BLOCK);
            awaitSaid(said, "a process of PostgreSQL is not accepted");
            assertFalse(process.hasAnswered());
            told.write('\n');
            told.flush();
            assertEquals(content(0, 1), process.end());
        } finally {
            node.destroyForcibly();
        }
    }

    private static void awaitSaid(BufferedReader said, String text) throws IOException {
        StringBuilder all = new StringBuilder();
        String line = said.readLine();
        while (line != null && !line.contains("agent failed")) {
            if (line.contains(text)) {
                return;
            }
            all.append(line).append('\n');
            line = said.readLine();
        }
        throw new AssertionError("expected: " + text + " actual: " + all + line);
    }

    @Test
    void givenCacheLimit_whenMoreIsRead_thenTheCacheStaysSmall() throws Exception {
        agent.close();
        open(ReadThroughSettings.DEFAULT.withCacheLimit(32L * BLOCK));
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16384");
            for (int block = 0; block < 100; block += 4) {
                assertEquals(content(block, 4), process.call("read " + fd + " " + block * BLOCK + " " + 4 * BLOCK));
            }
        }
        await("it is within its limit").until(() -> agent.figures().residentBlocks() <= 32);
    }

    @Test
    void givenPutAdoptedAndUsed_thenTheyAreLocalAndTheNextGenerationHearsOfThem() throws Exception {
        agent.put(SMALL, 1, ByteBuffer.wrap(new byte[BLOCK]));
        Files.write(pgdata.resolve(SHARED.path()), new byte[20 * BLOCK]);
        agent.adopt(SHARED);
        try (FileCalls process = process()) {
            String fd = process.call("open base/5/16385_vm");
            assertEquals(bytes(1, 0), process.call("read " + fd + " " + BLOCK + " " + BLOCK));
            assertEquals(content(0, 1), process.call("read " + fd + " 0 " + BLOCK));
            String global = process.call("open global/1260.1");
            assertEquals(bytes(3, 0), process.call("read " + global + " " + 4 * BLOCK + " " + 3 * BLOCK));
        }
        assertEquals(List.of(new BlockRange(SHARED, 4, 3), new BlockRange(SMALL, 0, 2)), agent.used(1000));
        assertEquals(List.of(new BlockRange(SHARED, 4, 2)), agent.used(2));
        assertEquals(List.of(new BlockRange(SMALL, 0, 1)), source.requests);
    }

    @Test
    void givenNoLibrary_whenHydrated_thenEverythingIsThere() throws Exception {
        agent.hydrate().toCompletableFuture().get(10, TimeUnit.SECONDS);
        assertEquals(122, agent.figures().residentBlocks());
        byte[] table = Files.readAllBytes(pgdata.resolve(TABLE.path()));
        for (int i = 0; i < table.length; i++) {
            assertEquals((byte) (i / BLOCK + 1), table[i]);
        }
    }

    @Test
    void givenSourceFails_whenHydrated_thenItFails() {
        source.failWith(new UnreadableBlocksException("damaged", new IOException("checksum")));
        assertThrows(
                ExecutionException.class,
                () -> agent.hydrate().toCompletableFuture().get(10, TimeUnit.SECONDS));
    }

    @Test
    void givenNoMap_whenRelationIsOpened_thenItFailsAndOtherFilesWork() throws Exception {
        Files.write(pgdata.resolve("PG_VERSION"), new byte[] {1, 2, 3});
        agent.close();
        Files.delete(shared.resolve("map"));
        try (FileCalls process = process()) {
            assertEquals("EIO", process.call("create base/5/16384"));
            assertFalse(process.call("open PG_VERSION").startsWith("E"));
        }
    }
}
