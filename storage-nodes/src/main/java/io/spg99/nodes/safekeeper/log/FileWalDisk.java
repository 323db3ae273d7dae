package io.spg99.nodes.safekeeper.log;

import io.spg99.storage.file.DurableFiles;
import io.spg99.storage.safekeeper.WalSegmentName;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A timeline's directory: {@code control} and segment files under PostgreSQL's names. A new segment is a spare one, whose
 * blocks are on the disk already, or a sparse file if there is no spare.
 */
public final class FileWalDisk implements WalDisk {

    private static final String CONTROL = "control";

    /** WAL is written to the last segment, or its head is filled: more are never needed at once. */
    private static final int OPEN_SEGMENTS = 2;

    private final Path directory;
    private final int segmentSize;
    private final SpareSegments spares;

    /** Files written to, in the order of use. */
    private final Map<Segment, FileChannel> channels = new LinkedHashMap<>(4, 0.75f, true);

    /** Those of them that were written to since the last sync: to sync an unchanged file costs a flush of the disk, too. */
    private final Set<FileChannel> changed = new LinkedHashSet<>();

    /** A file's name is not durable yet. */
    private boolean namesChanged;

    private FileWalDisk(Path directory, int segmentSize, SpareSegments spares) {
        this.directory = directory;
        this.segmentSize = segmentSize;
        this.spares = spares;
    }

    /** Makes the directory if it is missing. */
    public static FileWalDisk of(Path directory, int segmentSize, SpareSegments spares) throws IOException {
        DurableFiles.createDirectories(directory);
        return new FileWalDisk(directory, segmentSize, spares);
    }

    /**
     * The disk of a timeline that was begun before; null if there is none.
     *
     * @throws LogFailedException if its control file is damaged
     */
    public static @Nullable FileWalDisk existing(Path directory, SpareSegments spares) throws IOException {
        byte[] control = readFile(directory.resolve(CONTROL));
        return control == null
                ? null
                : new FileWalDisk(directory, ControlState.decode(control).base().segmentSize(), spares);
    }

    /** Removes a timeline; once the control file is gone the rest is rubbish. */
    public static void delete(Path directory) throws IOException {
        if (!Files.isDirectory(directory)) {
            return;
        }
        if (Files.deleteIfExists(directory.resolve(CONTROL))) {
            DurableFiles.syncDirectory(directory);
        }
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.toList()) {
                Files.deleteIfExists(file);
            }
        }
        Files.deleteIfExists(directory);
        Path parent = directory.toAbsolutePath().getParent();
        if (parent != null) {
            DurableFiles.syncDirectory(parent);
        }
    }

    @Override
    public byte @Nullable [] readControl() throws IOException {
        return readFile(directory.resolve(CONTROL));
    }

    private static byte @Nullable [] readFile(Path file) throws IOException {
        try {
            return Files.readAllBytes(file);
        } catch (NoSuchFileException e) {
            return null;
        }
    }

    @Override
    public void writeControl(byte[] content) throws IOException {
        DurableFiles.replace(directory.resolve(CONTROL), ByteBuffer.wrap(content));
    }

    @Override
    public int read(Segment segment, int offset, ByteBuffer into) throws IOException {
        // Opened each time: readers come and go, and an open costs little beside what is then sent.
        try (FileChannel channel = FileChannel.open(path(segment), StandardOpenOption.READ)) {
            int total = 0;
            while (into.hasRemaining()) {
                int read = channel.read(into, offset + (long) total);
                if (read < 0) {
                    break;
                }
                total += read;
            }
            return total;
        } catch (NoSuchFileException e) {
            return 0;
        }
    }

    @Override
    public void write(Segment segment, int offset, ByteBuffer bytes) throws IOException {
        FileChannel channel = writable(segment);
        changed.add(channel);
        long next = offset;
        while (bytes.hasRemaining()) {
            next += channel.write(bytes, next);
        }
    }

    @Override
    public void removeBefore(long number) throws IOException {
        for (Iterator<Map.Entry<Segment, FileChannel>> open =
                        channels.entrySet().iterator();
                open.hasNext(); ) {
            Map.Entry<Segment, FileChannel> entry = open.next();
            if (entry.getKey().number() < number) {
                changed.remove(entry.getValue());
                entry.getValue().close();
                open.remove();
            }
        }
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.toList()) {
                Optional<Segment> segment = WalSegmentName.parse(
                                file.getFileName().toString(), segmentSize)
                        .map(parsed -> new Segment(parsed.generation(), parsed.number()));
                if (segment.filter(old -> old.number() < number).isPresent()) {
                    Files.deleteIfExists(file);
                }
            }
        }
    }

    private FileChannel writable(Segment segment) throws IOException {
        FileChannel open = channels.get(segment);
        if (open != null) {
            return open;
        }
        closeEldest();
        Path file = path(segment);
        if (!Files.exists(file)) {
            namesChanged = true;
            if (!spares.take(segmentSize, file)) {
                try (FileChannel sparse =
                        FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                    sparse.write(ByteBuffer.allocate(1), segmentSize - 1L);
                }
            }
        }
        FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE);
        channels.put(segment, channel);
        return channel;
    }

    private void closeEldest() throws IOException {
        if (channels.size() >= OPEN_SEGMENTS) {
            Iterator<FileChannel> eldest = channels.values().iterator();
            try (FileChannel channel = eldest.next()) {
                syncIfChanged(channel);
            }
            eldest.remove();
        }
    }

    @Override
    public void sync() throws IOException {
        for (FileChannel channel : channels.values()) {
            syncIfChanged(channel);
        }
        if (namesChanged) {
            DurableFiles.syncDirectory(directory);
            namesChanged = false;
        }
    }

    private void syncIfChanged(FileChannel channel) throws IOException {
        if (changed.contains(channel)) {
            channel.force(false);
            changed.remove(channel);
        }
    }

    private Path path(Segment segment) {
        return directory.resolve(WalSegmentName.of(segment.generation(), segment.number(), segmentSize));
    }

    @Override
    public void close() throws IOException {
        IOException trouble = null;
        for (FileChannel channel : channels.values()) {
            try {
                channel.close();
            } catch (IOException e) {
                trouble = e;
            }
        }
        channels.clear();
        if (trouble != null) {
            throw trouble;
        }
    }
}
