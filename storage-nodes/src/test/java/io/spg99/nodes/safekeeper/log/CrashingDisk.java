package io.spg99.nodes.safekeeper.log;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * A disk in memory whose machine can die between any two steps. What was written and not synced is then there, or not, or
 * in part, page by page, as the seed has it.
 */
final class CrashingDisk implements WalDisk {

    static final class CrashException extends IOException {
        CrashException() {
            super("the machine died");
        }
    }

    private static final int SECTOR = 512;

    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Write(Segment segment, int offset, byte[] bytes) {}

    private final Random random;
    private final Map<Segment, byte[]> durable = new HashMap<>();
    private final Map<Segment, byte[]> cached = new HashMap<>();
    private final List<Write> unsynced = new ArrayList<>();
    private byte @Nullable [] control;

    /** Steps until the machine dies; negative: never. */
    private int stepsLeft = -1;

    private boolean failSync;
    private boolean full;

    CrashingDisk(Random random) {
        this.random = random;
    }

    void crashAfter(int steps) {
        stepsLeft = steps;
    }

    void failNextSync() {
        failSync = true;
    }

    void full(boolean isFull) {
        full = isFull;
    }

    void damageControl() {
        byte[] content = control;
        if (content != null) {
            content[random.nextInt(content.length)] ^= 1;
        }
    }

    /** Only the process is started again: what was not synced is in the page cache still. */
    void restart() {
        stepsLeft = -1;
    }

    /** The machine comes up again: of what was not synced any part may be there. */
    void reboot() {
        stepsLeft = -1;
        for (Write write : unsynced) {
            byte[] file = durable.computeIfAbsent(write.segment(), segment -> new byte[FakeWal.SEGMENT_SIZE]);
            for (int i = 0; i < write.bytes().length; i += SECTOR) {
                if (random.nextBoolean()) {
                    int length = Math.min(SECTOR, write.bytes().length - i);
                    System.arraycopy(write.bytes(), i, file, write.offset() + i, length);
                }
            }
        }
        unsynced.clear();
        cached.clear();
        durable.forEach((segment, file) -> cached.put(segment, file.clone()));
    }

    private void step() throws IOException {
        if (stepsLeft == 0) {
            throw new CrashException();
        }
        if (stepsLeft > 0) {
            stepsLeft--;
        }
    }

    @Override
    public byte @Nullable [] readControl() {
        return control == null ? null : control.clone();
    }

    @Override
    public void writeControl(byte[] content) throws IOException {
        if (stepsLeft == 0 && random.nextBoolean()) {
            // It reached the disk, but nobody was told.
            control = content.clone();
        }
        step();
        control = content.clone();
    }

    @Override
    public void removeBefore(long number) throws IOException {
        step();
        durable.keySet().removeIf(segment -> segment.number() < number);
        cached.keySet().removeIf(segment -> segment.number() < number);
        unsynced.removeIf(write -> write.segment().number() < number);
    }

    @Override
    public int read(Segment segment, int offset, ByteBuffer into) {
        byte[] file = cached.get(segment);
        if (file == null) {
            return 0;
        }
        int length = Math.min(into.remaining(), file.length - offset);
        into.put(file, offset, length);
        return length;
    }

    @Override
    public void write(Segment segment, int offset, ByteBuffer bytes) throws IOException {
        step();
        if (full) {
            throw new IOException("No space left on device");
        }
        byte[] content = new byte[bytes.remaining()];
        bytes.get(content);
        byte[] file = cached.computeIfAbsent(segment, any -> new byte[FakeWal.SEGMENT_SIZE]);
        System.arraycopy(content, 0, file, offset, content.length);
        unsynced.add(new Write(segment, offset, content));
    }

    @Override
    public void sync() throws IOException {
        step();
        if (failSync) {
            failSync = false;
            // The kernel forgets what it could not write.
            unsynced.clear();
            throw new IOException("Input/output error");
        }
        for (Write write : unsynced) {
            byte[] file = durable.computeIfAbsent(write.segment(), any -> new byte[FakeWal.SEGMENT_SIZE]);
            System.arraycopy(write.bytes(), 0, file, write.offset(), write.bytes().length);
        }
        unsynced.clear();
    }

    @Override
    public void close() {}
}
