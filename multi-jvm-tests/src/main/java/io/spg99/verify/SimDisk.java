package io.spg99.verify;

import io.spg99.nodes.safekeeper.log.Segment;
import io.spg99.nodes.safekeeper.log.WalDisk;
import io.spg99.storage.wal.Lsn;
import io.spg99.verify.Coverage.Visited;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * The disk of one Safekeeper's timeline. Its machine or its process can be killed before or after any step; what a machine
 * had written and not synced is then there, or not, or in part, sector by sector, as the seed has it.
 */
final class SimDisk implements WalDisk {

    private static final int SECTOR = 512;

    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Write(Segment segment, int offset, byte[] bytes) {}

    private final Scheduler scheduler;
    private final Coverage coverage;
    private final int segmentSize;

    /** Called before and after whatever changes something; may kill. */
    private final Runnable step;

    /** Called before every write of WAL. */
    private final Runnable writing;

    /** Called with the first segment that stays, before others are removed. */
    private final LongConsumer removing;

    private final Map<Segment, byte[]> durable = new HashMap<>();
    private final Map<Segment, byte[]> cached = new HashMap<>();
    private final List<Write> unsynced = new ArrayList<>();

    /** Removed files of which the directory on the disk may still have the name. */
    private final Map<Segment, byte[]> removed = new LinkedHashMap<>();

    private byte @Nullable [] control;

    /** Lowest position whose durable bytes have changed since this was last asked. */
    private Lsn changed = Checker.NOWHERE;

    private boolean failSync;
    private boolean full;

    SimDisk(
            Scheduler scheduler,
            Coverage coverage,
            int segmentSize,
            Runnable step,
            Runnable writing,
            LongConsumer removing) {
        this.scheduler = scheduler;
        this.coverage = coverage;
        this.segmentSize = segmentSize;
        this.step = step;
        this.writing = writing;
        this.removing = removing;
    }

    void failNextSync() {
        failSync = true;
    }

    void full(boolean isFull) {
        full = isFull;
    }

    boolean isBegun() {
        return control != null;
    }

    /** Lowest position whose durable bytes have changed since the last call. */
    Lsn takeChanged() {
        Lsn lowest = changed;
        changed = Checker.NOWHERE;
        return lowest;
    }

    byte @Nullable [] durable(Segment segment) {
        return durable.get(segment);
    }

    /** The power is gone and back: of what was not synced any part may be there. */
    void powerCut() {
        if (!unsynced.isEmpty()) {
            coverage.count(Visited.CRASHES_BETWEEN_WRITE_AND_SYNC);
        }
        // One fate for all of it, so that everything and nothing are as likely as something.
        double kept = scheduler.random().nextInt(3) / 2.0;
        boolean some = false;
        boolean all = true;
        for (Write write : unsynced) {
            for (int i = 0; i < write.bytes().length; i += SECTOR) {
                if (scheduler.chance(kept)) {
                    store(write, i, Math.min(SECTOR, write.bytes().length - i));
                    some = true;
                } else {
                    all = false;
                }
            }
        }
        if (some && !all) {
            coverage.count(Visited.TORN_TAILS);
        }
        removed.forEach((segment, file) -> {
            if (scheduler.chance(kept)) {
                durable.putIfAbsent(segment, file);
                coverage.count(Visited.REMOVED_SEGMENTS_BACK);
            }
        });
        removed.clear();
        unsynced.clear();
        cached.clear();
        durable.forEach((segment, file) -> cached.put(segment, file.clone()));
        failSync = false;
    }

    private void store(Write write, int from, int length) {
        byte[] file = durable.computeIfAbsent(write.segment(), segment -> new byte[segmentSize]);
        System.arraycopy(write.bytes(), from, file, write.offset() + from, length);
        changed = Lsn.min(changed, new Lsn(write.segment().number() * segmentSize + write.offset() + from));
    }

    /** What would be there if the power went now and everything not synced were lost; to be read only. */
    WalDisk afterPowerCut() {
        return new WalDisk() {
            @Override
            public byte @Nullable [] readControl() {
                return SimDisk.this.readControl();
            }

            @Override
            public void writeControl(byte[] content) {}

            @Override
            public int read(Segment segment, int offset, ByteBuffer into) {
                return SimDisk.read(durable.get(segment), offset, into);
            }

            @Override
            public void write(Segment segment, int offset, ByteBuffer bytes) {
                bytes.position(bytes.limit());
            }

            @Override
            public void removeBefore(long number) {}

            @Override
            public void sync() {}

            @Override
            public void close() {}
        };
    }

    @Override
    public byte @Nullable [] readControl() {
        return control == null ? null : control.clone();
    }

    @Override
    public void writeControl(byte[] content) throws IOException {
        step.run();
        if (full) {
            throw new IOException("No space left on device");
        }
        control = content.clone();
        step.run();
    }

    @Override
    public int read(Segment segment, int offset, ByteBuffer into) {
        return read(cached.get(segment), offset, into);
    }

    private static int read(byte @Nullable [] file, int offset, ByteBuffer into) {
        if (file == null) {
            return 0;
        }
        int length = Math.min(into.remaining(), file.length - offset);
        into.put(file, offset, length);
        return length;
    }

    @Override
    public void write(Segment segment, int offset, ByteBuffer bytes) throws IOException {
        step.run();
        writing.run();
        if (full) {
            throw new IOException("No space left on device");
        }
        byte[] content = new byte[bytes.remaining()];
        bytes.get(content);
        byte[] file = cached.computeIfAbsent(segment, any -> new byte[segmentSize]);
        System.arraycopy(content, 0, file, offset, content.length);
        unsynced.add(new Write(segment, offset, content));
    }

    @Override
    public void removeBefore(long number) {
        step.run();
        List<Segment> old = new ArrayList<>(cached.keySet().stream()
                .filter(segment -> segment.number() < number)
                .sorted(Comparator.comparingLong(Segment::number).thenComparingInt(Segment::generation))
                .toList());
        if (!old.isEmpty()) {
            removing.accept(number);
        }
        // In the order in which a directory has them.
        while (!old.isEmpty()) {
            Segment segment = old.remove(scheduler.random().nextInt(old.size()));
            cached.remove(segment);
            byte[] file = durable.remove(segment);
            if (file != null) {
                removed.put(segment, file);
            }
            unsynced.removeIf(write -> write.segment().equals(segment));
            step.run();
        }
    }

    @Override
    public void sync() throws IOException {
        step.run();
        if (failSync) {
            failSync = false;
            coverage.count(Visited.FAILED_SYNCS);
            // The kernel forgets what it could not write; the page cache goes on showing it.
            unsynced.clear();
            throw new IOException("Input/output error");
        }
        for (Write write : unsynced) {
            store(write, 0, write.bytes().length);
        }
        unsynced.clear();
        step.run();
    }

    @Override
    public void close() {}
}
