package io.spg99.storage.snapshot;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ManifestCodecTest {

    static final TimelineId TIMELINE = new TimelineId("0123456789abcdef0123456789abcdef");

    /** Written by version 1. */
    private static final String GOLDEN =
            "5350474d01000000df0000002b6173f028b52ffd20df3d05001409203031323334353637383961626364656600863ba1"
                    + "01000000808080020a706731372d696d616765032800000400000000a00068e5cf8b010000021d30412d30464664f0a2"
                    + "0442450988270300046261736504022f35000670675f77616c03000a50475f56455253494f4e0301010100000b2f352f"
                    + "3132353980800a0402010008025c090300010000080436333834000007003b2a2800114571059c81db3e2bd93bc85c02";

    private static final Layer OLD = new Layer("00000000000A-00000000000000FF", 100, 70_000);
    private static final Layer NEW = new Layer("00000000000B-00000000000000FE", 9, 5_000);

    static Manifest sample() {
        return new Manifest(
                TIMELINE,
                7_000_000_000L,
                4 << 20,
                "pg17-image",
                3,
                Lsn.parse("0/4000028"),
                Lsn.parse("0/40000A0"),
                1_700_000_000_000L,
                List.of(OLD, NEW),
                List.of("base", "base/5", "pg_wal"),
                List.of(
                        new SnapshotFile("PG_VERSION", 3, List.of(run(0, 1, SnapshotFile.IMAGE, 0))),
                        new SnapshotFile(
                                "base/5/1259",
                                20 * 8192L,
                                List.of(
                                        run(0, 2, SnapshotFile.IMAGE, 0),
                                        run(2, 8, 0, 92),
                                        run(10, 9, 1, 0),
                                        run(19, 1, SnapshotFile.ZEROS, 0))),
                        new SnapshotFile("base/5/16384", 0, List.of())));
    }

    private static SnapshotFile.Run run(int first, int count, int layer, int position) {
        return new SnapshotFile.Run(first, count, layer, position);
    }

    private static Manifest decode(byte[] bytes) throws CorruptSnapshotException {
        return ManifestCodec.decode("snapshots/x", bytes);
    }

    @Test
    void givenAManifest_whenEncodedAndDecoded_thenItIsTheSame() throws Exception {
        assertEquals(sample(), decode(ManifestCodec.encode(sample())));
    }

    @Test
    void givenBytesOfTheFirstVersion_whenDecoded_thenTheyMeanWhatTheyMeant() throws Exception {
        assertEquals(sample(), decode(HexFormat.of().parseHex(GOLDEN)));
    }

    @Test
    void givenFiftyThousandRelations_whenEncoded_thenTheManifestIsSmall() throws Exception {
        List<SnapshotFile> files = IntStream.range(0, 50_000)
                .mapToObj(i -> new SnapshotFile("base/16384/" + (100_000 + i), 8192, List.of(run(0, 1, 0, i % 100))))
                .toList();
        Manifest sample = sample();
        Manifest large = new Manifest(
                sample.timeline(),
                sample.systemIdentifier(),
                sample.segmentSize(),
                sample.image(),
                sample.generation(),
                sample.redo(),
                sample.end(),
                sample.madeAtMillis(),
                sample.layers(),
                sample.directories(),
                files);

        byte[] bytes = ManifestCodec.encode(large);

        assertEquals(large, decode(bytes));
        assertTrue(bytes.length < 500_000, "bytes=" + bytes.length);
    }

    @Test
    void givenAManifest_whenAnyBitIsFlippedOrItIsCut_thenItIsReportedByName() {
        byte[] bytes = ManifestCodec.encode(sample());
        for (int bit = 0; bit < bytes.length * 8; bit++) {
            byte[] changed = bytes.clone();
            changed[bit / 8] ^= (byte) (1 << bit % 8);
            CorruptSnapshotException e = assertThrows(CorruptSnapshotException.class, () -> decode(changed));
            assertTrue(String.valueOf(e.getMessage()).contains("object=snapshots/x"), e.getMessage());
        }
        for (int length = 0; length < bytes.length; length++) {
            byte[] cut = Arrays.copyOf(bytes, length);
            assertThrows(CorruptSnapshotException.class, () -> decode(cut));
        }
    }

    @Test
    void givenNonsenseUnderAGoodChecksum_whenDecoded_thenItIsReported() {
        Random random = new Random(5);
        for (int i = 0; i < 5_000; i++) {
            byte[] body = new byte[random.nextInt(200)];
            random.nextBytes(body);
            byte[] compressed = com.github.luben.zstd.Zstd.compress(body);
            byte[] bytes = LayerFormat.buffer(16 + compressed.length)
                    .putInt(0x4D475053)
                    .putInt(1)
                    .putInt(body.length)
                    .putInt(LayerFormat.crc(compressed, 0, compressed.length))
                    .put(compressed)
                    .array();
            assertThrows(CorruptSnapshotException.class, () -> decode(bytes));
        }
    }

    @Test
    void givenBlocksThatAreNowhere_whenAManifestIsMade_thenItIsRefused() {
        Manifest sample = sample();
        for (SnapshotFile.Run wrong :
                List.of(run(0, 1, 2, 0), run(0, 2, 1, 8), run(0, 1, 0, -1), run(0, 1, -3, 0), run(0, 1, -1, 1))) {
            assertThrows(
                    IllegalArgumentException.class,
                    () -> new Manifest(
                            sample.timeline(),
                            1,
                            1,
                            "",
                            1,
                            sample.redo(),
                            sample.end(),
                            0,
                            sample.layers(),
                            List.of(),
                            List.of(new SnapshotFile("f", wrong.count() * 8192L, List.of(wrong)))));
        }
        assertThrows(IllegalArgumentException.class, () -> new SnapshotFile("f", 8193, List.of(run(0, 1, 0, 0))));
        assertThrows(IllegalArgumentException.class, () -> new SnapshotFile("../f", 0, List.of()));
        assertThrows(IllegalArgumentException.class, () -> new SnapshotFile("base/../../f", 0, List.of()));
    }

    @Test
    void givenRunsOfSeveralLayers_whenAskedWhatComesWithABlock_thenItIsWhatIsCompressedWithItAndNextToIt() {
        SnapshotFile file =
                new SnapshotFile("f", 20 * 8192L, List.of(run(0, 10, 0, 3), run(10, 1, 1, 8), run(11, 9, 0, 14)));
        assertEquals(run(0, 5, 0, 3), file.groupAround(4), "positions 3 to 7");
        assertEquals(run(5, 5, 0, 8), file.groupAround(5), "positions 8 to 12, where the run ends");
        assertEquals(run(10, 1, 1, 8), file.groupAround(10));
        assertEquals(run(13, 7, 0, 16), file.groupAround(19), "positions 16 to 22, where the file ends");
    }
}
