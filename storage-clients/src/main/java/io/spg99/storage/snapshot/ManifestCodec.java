package io.spg99.storage.snapshot;

import com.github.luben.zstd.Zstd;
import io.spg99.storage.wal.Lsn;
import io.spg99.storage.wal.TimelineId;
import java.io.ByteArrayOutputStream;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * A manifest as bytes. Numbers are LEB128, positions in the WAL and identifiers 8 bytes little endian.
 *
 * <pre>
 * magic u32 "SPGM", version u32, length of the body u32, CRC-32C of the compressed body u32, then the body as a zstd frame:
 *
 * timeline text, system identifier, segment size, image text, generation, redo, end, made at
 * layers       count, then each: name text, blocks, bytes
 * directories  count, then each: path
 * files        count, then each: path, size, number of runs, then each: count, layer + 2, position
 * path         how many characters it shares with the path before, the rest as text
 * text         length, ASCII
 * </pre>
 */
final class ManifestCodec {

    private static final int MAGIC = 0x4D475053;
    private static final int VERSION = 1;
    private static final int HEADER = 16;
    private static final int LEVEL = 3;

    /** Ten bytes per run: a database of a terabyte in single blocks. */
    private static final int LONGEST_BODY = 1 << 30;

    private static final int LONGEST_TEXT = 255;

    private ManifestCodec() {}

    static byte[] encode(Manifest manifest) {
        Out out = new Out();
        out.text(manifest.timeline().value());
        out.fixed(manifest.systemIdentifier());
        out.number(manifest.segmentSize());
        out.text(manifest.image());
        out.number(manifest.generation());
        out.fixed(manifest.redo().value());
        out.fixed(manifest.end().value());
        out.fixed(manifest.madeAtMillis());
        out.number(manifest.layers().size());
        for (Layer layer : manifest.layers()) {
            out.text(layer.name());
            out.number(layer.blocks());
            out.number(layer.bytes());
        }
        out.number(manifest.directories().size());
        manifest.directories().forEach(out::path);
        out.number(manifest.files().size());
        for (SnapshotFile file : manifest.files()) {
            out.path(file.path());
            out.number(file.size());
            out.number(file.runs().size());
            for (SnapshotFile.Run run : file.runs()) {
                out.number(run.count());
                out.number(run.layer() - (long) SnapshotFile.ZEROS);
                out.number(run.position());
            }
        }
        byte[] body = out.bytes.toByteArray();
        byte[] compressed = Zstd.compress(body, LEVEL);
        return LayerFormat.buffer(HEADER + compressed.length)
                .putInt(MAGIC)
                .putInt(VERSION)
                .putInt(body.length)
                .putInt(LayerFormat.crc(compressed, 0, compressed.length))
                .put(compressed)
                .array();
    }

    /** @param object name to report if this is no manifest, whole and unchanged */
    static Manifest decode(String object, byte[] bytes) throws CorruptSnapshotException {
        if (bytes.length < HEADER) {
            throw new CorruptSnapshotException(object, "it is too short: bytes=" + bytes.length);
        }
        ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        int magic = in.getInt();
        int version = in.getInt();
        int length = in.getInt();
        int checksum = in.getInt();
        if (magic != MAGIC || version != VERSION || length < 0 || length > LONGEST_BODY) {
            throw new CorruptSnapshotException(
                    object, "not a manifest of version %d: magic=%x version=%d".formatted(VERSION, magic, version));
        }
        int compressed = bytes.length - HEADER;
        if (LayerFormat.crc(bytes, HEADER, compressed) != checksum) {
            throw new CorruptSnapshotException(object, "its checksum is wrong");
        }
        // The length is not under the checksum; the frame knows its own.
        if (Zstd.getFrameContentSize(bytes, HEADER, compressed) != length) {
            throw new CorruptSnapshotException(object, "its length is wrong");
        }
        byte[] body = new byte[length];
        long size = Zstd.decompressByteArray(body, 0, length, bytes, HEADER, compressed);
        if (size != length) {
            throw new CorruptSnapshotException(object, "expectedBytes=" + length + " actual=" + size);
        }
        try {
            return decodeBody(new In(ByteBuffer.wrap(body).order(ByteOrder.LITTLE_ENDIAN)));
        } catch (BufferUnderflowException | IllegalArgumentException | ArithmeticException e) {
            CorruptSnapshotException corrupt =
                    new CorruptSnapshotException(object, "it is malformed: " + e.getMessage());
            corrupt.initCause(e);
            throw corrupt;
        }
    }

    private static Manifest decodeBody(In in) {
        TimelineId timeline = new TimelineId(in.text());
        long systemIdentifier = in.bytes.getLong();
        int segmentSize = in.integer();
        String image = in.text();
        int generation = in.integer();
        Lsn redo = new Lsn(in.bytes.getLong());
        Lsn end = new Lsn(in.bytes.getLong());
        long madeAtMillis = in.bytes.getLong();
        List<Layer> layers = new ArrayList<>();
        for (int count = in.count(); count > 0; count--) {
            layers.add(new Layer(in.text(), in.integer(), in.number()));
        }
        List<String> directories = new ArrayList<>();
        for (int count = in.count(); count > 0; count--) {
            directories.add(in.path());
        }
        List<SnapshotFile> files = new ArrayList<>();
        for (int count = in.count(); count > 0; count--) {
            files.add(new SnapshotFile(in.path(), in.number(), runs(in)));
        }
        if (in.bytes.hasRemaining()) {
            throw new IllegalArgumentException("bytes left over: count=" + in.bytes.remaining());
        }
        return new Manifest(
                timeline,
                systemIdentifier,
                segmentSize,
                image,
                generation,
                redo,
                end,
                madeAtMillis,
                layers,
                directories,
                files);
    }

    private static List<SnapshotFile.Run> runs(In in) {
        int count = in.count();
        List<SnapshotFile.Run> runs = new ArrayList<>(count);
        int first = 0;
        for (int i = 0; i < count; i++) {
            int blocks = in.integer();
            int layer = in.integer() + SnapshotFile.ZEROS;
            runs.add(new SnapshotFile.Run(first, blocks, layer, in.integer()));
            first = Math.addExact(first, blocks);
        }
        return runs;
    }

    private static final class Out {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        private String before = "";

        void number(long value) {
            long rest = value;
            while ((rest & ~0x7FL) != 0) {
                bytes.write((int) ((rest & 0x7F) | 0x80));
                rest >>>= 7;
            }
            bytes.write((int) rest);
        }

        void fixed(long value) {
            bytes.writeBytes(LayerFormat.buffer(Long.BYTES).putLong(value).array());
        }

        void text(String value) {
            if (value.length() > LONGEST_TEXT) {
                throw new IllegalArgumentException("text is too long: length=" + value.length());
            }
            number(value.length());
            bytes.writeBytes(value.getBytes(StandardCharsets.US_ASCII));
        }

        void path(String path) {
            int shared = 0;
            while (shared < Math.min(path.length(), before.length()) && path.charAt(shared) == before.charAt(shared)) {
                shared++;
            }
            number(shared);
            text(path.substring(shared));
            before = path;
        }
    }

    private static final class In {
        private final ByteBuffer bytes;
        private String before = "";

        In(ByteBuffer bytes) {
            this.bytes = bytes;
        }

        long number() {
            long value = 0;
            for (int shift = 0; shift < Long.SIZE; shift += 7) {
                byte next = bytes.get();
                value |= (next & 0x7FL) << shift;
                if (next >= 0) {
                    return value;
                }
            }
            throw new IllegalArgumentException("a number has no end");
        }

        int integer() {
            return Math.toIntExact(number());
        }

        /** A number of things of at least one byte each: no more memory is asked for than there are bytes. */
        int count() {
            int count = integer();
            if (count < 0 || count > bytes.remaining()) {
                throw new IllegalArgumentException("count out of bounds: count=" + count);
            }
            return count;
        }

        String text() {
            int length = count();
            if (length > LONGEST_TEXT) {
                throw new IllegalArgumentException("text is too long: length=" + length);
            }
            byte[] text = new byte[length];
            bytes.get(text);
            return new String(text, StandardCharsets.US_ASCII);
        }

        String path() {
            int shared = integer();
            if (shared < 0 || shared > before.length()) {
                throw new IllegalArgumentException("shared part of a path out of bounds: length=" + shared);
            }
            before = before.substring(0, shared) + text();
            return before;
        }
    }
}
