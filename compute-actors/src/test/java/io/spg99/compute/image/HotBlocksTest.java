package io.spg99.compute.image;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.github.luben.zstd.Zstd;
import io.spg99.compute.image.HotBlocks.Remembered;
import io.spg99.storage.object.LocalObjectStore;
import io.spg99.storage.object.ObjectStore;
import io.spg99.storage.readthrough.BlockRange;
import io.spg99.storage.readthrough.RelationFile;
import io.spg99.storage.wal.TimelineId;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HotBlocksTest {

    private static final TimelineId TIMELINE = new TimelineId("0123456789abcdef0123456789abcdef");
    private static final BlockRange CATALOG = range("base/5/1259", 0, 4);
    private static final BlockRange TABLE = range("base/5/16384", 100, 32);

    private ObjectStore objects;
    private HotBlocks hot;

    @BeforeEach
    void open(@TempDir Path directory) throws Exception {
        objects = new LocalObjectStore(directory);
        hot = new HotBlocks(objects, TIMELINE);
    }

    private static BlockRange range(String file, int first, int count) {
        return new BlockRange(RelationFile.parse(file).orElseThrow(), first, count);
    }

    @Test
    void givenAWriterThatShares_whenItSharesAgainAndEnds_thenTheLastWordCounts() throws Exception {
        assertEquals(Remembered.NOTHING, hot.newest());
        hot.remember(5, 1, new Remembered(List.of(CATALOG), List.of()));
        hot.remember(5, 2, new Remembered(List.of(CATALOG), List.of(TABLE)));
        assertEquals(new Remembered(List.of(CATALOG), List.of(TABLE)), hot.newest());
        hot.remember(6, 1, new Remembered(List.of(), List.of(CATALOG)));
        assertEquals(new Remembered(List.of(), List.of(CATALOG)), hot.newest());
        assertEquals(1, objects.list("timelines/" + TIMELINE + "/hot/").size());
    }

    @Test
    void givenAWriterThatEndsAfterItsSuccessorHasShared_thenTheSuccessorsWordStays() throws Exception {
        hot.remember(6, 1, new Remembered(List.of(), List.of(TABLE)));
        hot.remember(5, 2, new Remembered(List.of(), List.of(CATALOG)));
        assertEquals(List.of(TABLE), hot.newest().hot());
    }

    @Test
    void givenLinesThatAreNone_thenTheOthersAreTaken() throws Exception {
        String text = "base/5/1259 0 4\n../../etc/passwd 0 1\n\nbase/5/16384 100 32\nbase/5/16384 1 0\nnoise\n";
        objects.putIfAbsent(
                "timelines/" + TIMELINE + "/hot/00000005-00000001",
                Zstd.compress(text.getBytes(StandardCharsets.US_ASCII)));
        assertEquals(new Remembered(List.of(CATALOG), List.of(TABLE)), hot.newest());
    }
}
