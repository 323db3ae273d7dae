package io.spg99.storage.snapshot;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.spg99.storage.object.LocalObjectStore;
import io.spg99.storage.wal.TimelineId;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LayerTest {

    /** Written by version 1: ten blocks, each filled with its number. */
    private static final String GOLDEN =
            "5350474c010000000123456789abcdef0123456789abcdef28b52ffd6000fffd00004800000102030405060708140030"
                    + "fc2ffc7ffccff85ff8fff89ff1bfd87f2c28b52ffd60003f750000180808090200fc0f7ab1ff3dc00229000000e1fb8f"
                    + "3c180000007730637b0a0000000200000006f8344e5350474c";

    private static final String KEY = "layers/x";

    @TempDir
    Path directory;

    private LayerReader open(byte[] content, int blocks) throws IOException {
        LocalObjectStore objects = new LocalObjectStore(directory);
        objects.delete(KEY);
        objects.putIfAbsent(KEY, content);
        return LayerReader.open(
                objects, KEY, ManifestCodecTest.TIMELINE, new Layer(Layer.name(1, 2), blocks, content.length));
    }

    private static byte[] block(int number) {
        byte[] block = new byte[Blocks.SIZE];
        Arrays.fill(block, (byte) number);
        return block;
    }

    private static void assertTenBlocks(LayerReader reader) throws IOException {
        byte[][] groups = reader.groups(0, 2);
        assertEquals(8 * Blocks.SIZE, groups[0].length);
        assertEquals(2 * Blocks.SIZE, groups[1].length);
        for (int i = 0; i < 10; i++) {
            int from = i % 8 * Blocks.SIZE;
            assertArrayEquals(block(i), Arrays.copyOfRange(groups[i / 8], from, from + Blocks.SIZE));
        }
        assertArrayEquals(groups[1], reader.group(1));
    }

    @Test
    void givenBytesOfTheFirstVersion_whenRead_thenTheyMeanWhatTheyMeant() throws IOException {
        assertTenBlocks(open(HexFormat.of().parseHex(GOLDEN), 10));
    }

    @Test
    void givenBlocks_whenWrittenAndRead_thenTheyAreTheSame() throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        LayerWriter writer = new LayerWriter(ManifestCodecTest.TIMELINE, out);
        for (int i = 0; i < 10; i++) {
            assertEquals(i, writer.add(block(i), 0));
        }
        writer.finish();

        assertEquals(writer.length(), out.size());
        assertTenBlocks(open(out.toByteArray(), 10));
    }

    @Test
    void givenALayerOfAnotherTimelineOrLength_whenOpened_thenItIsReported() throws IOException {
        byte[] bytes = HexFormat.of().parseHex(GOLDEN);
        LocalObjectStore objects = new LocalObjectStore(directory);
        objects.putIfAbsent(KEY, bytes);
        Layer layer = new Layer(Layer.name(1, 2), 10, bytes.length);
        TimelineId other = new TimelineId("0123456789abcdef0123456789abcdee");

        assertThrows(CorruptSnapshotException.class, () -> open(bytes, 9));
        assertThrows(CorruptSnapshotException.class, () -> open(bytes, 17));
        assertThrows(CorruptSnapshotException.class, () -> LayerReader.open(objects, KEY, other, layer));
    }

    @Test
    void givenALayerThatIsCut_whenOpenedOrRead_thenItFails() {
        byte[] bytes = HexFormat.of().parseHex(GOLDEN);
        for (int length = 40; length < bytes.length; length++) {
            byte[] cut = Arrays.copyOf(bytes, length);
            assertThrows(IOException.class, () -> {
                LocalObjectStore objects = new LocalObjectStore(directory);
                objects.delete(KEY);
                objects.putIfAbsent(KEY, cut);
                LayerReader.open(
                        objects, KEY, ManifestCodecTest.TIMELINE, new Layer(Layer.name(1, 2), 10, bytes.length));
            });
        }
        assertThrows(EOFException.class, () -> new LocalObjectStore(directory).read(KEY, 0, bytes.length));
    }
}
