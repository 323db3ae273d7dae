package io.spg99.verify;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongConsumer;
import org.slf4j.LoggerFactory;

/** Runs seeds. */
final class Seeds {

    private static final int TRACE_LINES = 120;

    /** Loggers of production code that the simulation does not replace: thousands of runs would flood them. */
    private static final List<String> LOUD = List.of(
            "io.spg99.nodes.safekeeper.receive", "io.spg99.storage.safekeeper", "io.spg99.nodes.safekeeper.serve");

    /** @param failed the lowest seed that broke a rule */
    record Result(long done, Coverage coverage, OptionalLong failed) {}

    private Seeds() {}

    static void quietLogs() {
        loud().forEach(logger -> logger.setLevel(Level.ERROR));
    }

    private static List<Logger> loud() {
        return LOUD.stream()
                .map(LoggerFactory::getLogger)
                .filter(Logger.class::isInstance)
                .map(Logger.class::cast)
                .toList();
    }

    /** What production code logs by itself goes into the trace of the one run. */
    private static <T> T logInto(Trace trace, Callable<T> run) throws Exception {
        AppenderBase<ILoggingEvent> appender = new AppenderBase<>() {
            @Override
            protected void append(ILoggingEvent event) {
                trace.say("[" + event.getFormattedMessage() + "]");
            }
        };
        appender.start();
        List<Logger> loggers = loud();
        loggers.forEach(logger -> {
            logger.setLevel(Level.INFO);
            logger.setAdditive(false);
            logger.addAppender(appender);
        });
        try {
            return run.call();
        } finally {
            loggers.forEach(logger -> {
                logger.detachAppender(appender);
                logger.setAdditive(true);
            });
            quietLogs();
        }
    }

    /**
     * Runs seeds {@code [from, from + count)} on as many threads as there are processors, until all are done or one fails.
     *
     * @param progress told how many are done, now and then
     */
    static Result run(long from, long count, LongConsumer progress) {
        AtomicLong next = new AtomicLong(from);
        AtomicLong failed = new AtomicLong(Long.MAX_VALUE);
        AtomicLong done = new AtomicLong();
        Coverage coverage = new Coverage();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < Runtime.getRuntime().availableProcessors(); i++) {
            threads.add(Thread.ofVirtual().start(() -> {
                for (long seed = next.getAndIncrement(); seed < from + count && seed < failed.get(); ) {
                    try {
                        Coverage mine = Simulation.run(seed, Trace.off());
                        synchronized (coverage) {
                            coverage.addAll(mine);
                            progress.accept(done.incrementAndGet());
                        }
                    } catch (Violation | RuntimeException trouble) {
                        failed.accumulateAndGet(seed, Math::min);
                    }
                    seed = next.getAndIncrement();
                }
            }));
        }
        for (Thread thread : threads) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("interrupted", e);
            }
        }
        return new Result(
                done.get(),
                coverage,
                failed.get() == Long.MAX_VALUE ? OptionalLong.empty() : OptionalLong.of(failed.get()));
    }

    /**
     * Runs one seed.
     *
     * @throws Violation if a rule is broken
     */
    static Coverage run(long seed) {
        return run(seed, Trace.off());
    }

    /** On a thread of the kind that the fibers are: to hand over a turn costs little between them. */
    static Coverage run(long seed, Trace trace) {
        return onVirtualThread(
                () -> trace.isOn() ? logInto(trace, () -> Simulation.run(seed, trace)) : Simulation.run(seed, trace));
    }

    private static <T> T onVirtualThread(Callable<T> work) {
        FutureTask<T> task = new FutureTask<>(work);
        Thread.ofVirtual().start(task);
        try {
            return task.get();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof Violation violation) {
                throw violation;
            }
            throw new IllegalStateException("the simulation failed", e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    /** Runs a seed that broke a rule once more and tells what happened last. */
    static String explain(long seed) {
        Trace trace = Trace.last(TRACE_LINES);
        String what;
        try {
            run(seed, trace);
            what = "the seed passes when it is run again: the simulation is not deterministic";
        } catch (Violation violation) {
            what = String.valueOf(violation.getMessage());
        } catch (IllegalStateException trouble) {
            what = trouble.getMessage() + ": " + trouble.getCause();
        }
        return String.join(System.lineSeparator(), trace.lines()) + System.lineSeparator() + "seed " + seed + ": "
                + what;
    }
}
