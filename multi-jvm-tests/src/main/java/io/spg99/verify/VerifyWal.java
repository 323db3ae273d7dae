package io.spg99.verify;

import java.io.PrintWriter;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code ./spg99 verify wal}: exit code 0 if every seed kept the rules, 1 with the first that did not. */
@Command(
        name = "wal",
        description =
                "Simulates Safekeepers, writers and owners under the WAL rules W1 to W6, one seed after the other.",
        mixinStandardHelpOptions = true,
        sortOptions = false)
final class VerifyWal implements Callable<Integer> {

    private static final long REPORT_NANOS = 2_000_000_000L;

    @Option(
            names = "--seeds",
            paramLabel = "N",
            defaultValue = "10000",
            description = "How many seeds (default: ${DEFAULT-VALUE}).")
    private long seeds;

    @Option(
            names = "--from",
            paramLabel = "K",
            defaultValue = "1",
            description = "The first of them (default: ${DEFAULT-VALUE}).")
    private long from;

    @Option(
            names = "--trace",
            description = "Tell what happens; of one seed everything, else of a failing one the end.")
    private boolean trace;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        Seeds.quietLogs();
        if (trace && seeds == 1) {
            return traceOne(out);
        }
        long began = System.nanoTime();
        long[] reported = {began};
        Seeds.Result result = Seeds.run(from, seeds, done -> {
            long now = System.nanoTime();
            if (now - reported[0] > REPORT_NANOS) {
                reported[0] = now;
                out.printf("%,d of %,d seeds, %,.0f per second%n", done, seeds, done / ((now - began) / 1e9));
                out.flush();
            }
        });
        double seconds = (System.nanoTime() - began) / 1e9;
        out.printf(
                "%,d seeds from %d in %.1f s, %,.0f per second%n%nvisited%n%s",
                result.done(), from, seconds, result.done() / seconds, result.coverage());
        out.flush();
        if (result.failed().isEmpty()) {
            return 0;
        }
        long seed = result.failed().getAsLong();
        out.println();
        out.println(Seeds.explain(seed));
        out.printf("replay: ./spg99 verify wal --from %d --seeds 1 --trace%n", seed);
        out.flush();
        return 1;
    }

    private int traceOne(PrintWriter out) {
        Trace all = Trace.last(Integer.MAX_VALUE);
        try {
            Coverage coverage = Seeds.run(from, all);
            all.lines().forEach(out::println);
            out.printf("seed %d keeps the rules%n%nvisited%n%s", from, coverage);
            return 0;
        } catch (Violation violation) {
            all.lines().forEach(out::println);
            out.printf("seed %d: %s%n", from, violation.getMessage());
            return 1;
        } finally {
            out.flush();
        }
    }
}
