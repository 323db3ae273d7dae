package io.spg99.compute.image;

import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import io.spg99.storage.readthrough.ReadThroughFigures;
import io.spg99.storage.readthrough.RelationFile;
import java.util.function.ToLongFunction;

/** What a node's read-through caches together say: metrics {@code spg99_read_through_…}. Counters are of blocks of 8 kB. */
final class ReadThroughMetrics {

    private ReadThroughMetrics() {}

    /** @return for requests to the Pageserver's store */
    static Timer register(ReadThroughCaches caches, MeterRegistry meters) {
        counter(caches, meters, "hits", "blocks that were local when PostgreSQL read them", ReadThroughFigures::hits);
        counter(caches, meters, "misses", "blocks that PostgreSQL waited for", ReadThroughFigures::misses);
        counter(
                caches,
                meters,
                "read.ahead",
                "blocks fetched before anybody waited for them",
                ReadThroughFigures::aheadBlocks);
        counter(caches, meters, "evictions", "blocks given back for want of space", ReadThroughFigures::evictedBlocks);
        counter(
                caches,
                meters,
                "failed.reads",
                "reads of PostgreSQL that ended with an I/O error",
                ReadThroughFigures::failedReads);
        FunctionCounter.builder(
                        "spg99.read.through.wait.seconds",
                        caches,
                        all -> all.figures().waited().toNanos() / 1e9)
                .description("time that reads of PostgreSQL waited, together")
                .register(meters);
        Gauge.builder(
                        "spg99.read.through.resident.bytes",
                        caches,
                        all -> (double) all.figures().residentBlocks() * RelationFile.BLOCK)
                .description("of files that are read through, on the local disk now")
                .register(meters);
        Gauge.builder("spg99.read.through.limit.bytes", caches, ReadThroughCaches::limit)
                .description("beyond it blocks are given back")
                .register(meters);
        return Timer.builder("spg99.read.through.fetch")
                .description("one request for up to 64 blocks to where snapshots are")
                .publishPercentileHistogram()
                .register(meters);
    }

    private static void counter(
            ReadThroughCaches caches,
            MeterRegistry meters,
            String name,
            String description,
            ToLongFunction<ReadThroughFigures> figure) {
        FunctionCounter.builder("spg99.read.through." + name, caches, all -> figure.applyAsLong(all.figures()))
                .description(description)
                .register(meters);
    }
}
