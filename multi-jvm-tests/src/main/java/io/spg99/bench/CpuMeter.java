package io.spg99.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.NavigableMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** Reads the CPU time of a process again and again, so that it can be told for the part of a run that counts. */
final class CpuMeter implements AutoCloseable {

    private static final long INTERVAL_MILLIS = 20;

    /** A tick of {@code /proc/<pid>/stat}: USER_HZ is 100 on every Linux. */
    private static final double TICK_MICROS = 10_000;

    private final Path stat;
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor();
    /** Ticks used so far, by microseconds since 1970. */
    private final NavigableMap<Long, Long> readings = new ConcurrentSkipListMap<>();

    private CpuMeter(long pid) {
        stat = Path.of("/proc/" + pid + "/stat");
    }

    static CpuMeter of(long pid) {
        CpuMeter meter = new CpuMeter(pid);
        meter.clock.scheduleAtFixedRate(meter::read, 0, INTERVAL_MILLIS, TimeUnit.MILLISECONDS);
        return meter;
    }

    /** User and system time; the name before them may hold blanks and parentheses. */
    private void read() {
        try {
            String text = Files.readString(stat);
            String[] fields = text.substring(text.lastIndexOf(')') + 2).split(" ", -1);
            readings.put(
                    ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now()),
                    Long.parseLong(fields[11]) + Long.parseLong(fields[12]));
        } catch (IOException e) {
            throw new IllegalStateException("the process has ended: " + stat, e);
        }
    }

    /**
     * CPU time per transaction, in microseconds, between the first and the last: what logins cost before is not in it.
     *
     * @param ends of transactions, in microseconds since 1970, sorted
     */
    double microsPer(List<Long> ends) {
        NavigableMap<Long, Long> counted = readings.subMap(ends.getFirst(), true, ends.getLast(), true);
        if (counted.size() < 2) {
            throw new IllegalStateException("too few readings for " + ends.size() + " transactions");
        }
        long from = counted.firstKey();
        long to = counted.lastKey();
        long transactions = ends.stream().filter(end -> end > from && end <= to).count();
        return (counted.lastEntry().getValue() - counted.firstEntry().getValue()) * TICK_MICROS / transactions;
    }

    @Override
    public void close() {
        clock.shutdownNow();
    }
}
