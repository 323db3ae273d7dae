package io.spg99.tests.fault;

import java.util.Arrays;
import java.util.Locale;
import java.util.Random;

/** How much is tried: a little in every build, all of it with {@code mvn verify -Plong}. */
final class Rounds {

    private static final boolean LONG = Boolean.getBoolean("spg99.long");

    private Rounds() {}

    static int of(int brief, int all) {
        return LONG ? all : brief;
    }

    static boolean all() {
        return LONG;
    }

    /** Says its seed; {@code -Dspg99.seed=N} makes it the same again. */
    static Random random() {
        long seed = Long.getLong("spg99.seed", System.nanoTime());
        System.out.println("[seed] " + seed);
        return new Random(seed);
    }

    /** Prints figures, for the table in docs/FAULTS.md. */
    static void report(String what, long... millis) {
        System.out.println("[figures] " + what + ": " + summary(millis));
    }

    static long median(long... values) {
        long[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    private static String summary(long... millis) {
        long[] sorted = millis.clone();
        Arrays.sort(sorted);
        return String.format(
                Locale.ROOT,
                "median %d ms, least %d, most %d, n=%d",
                median(sorted),
                sorted[0],
                sorted[sorted.length - 1],
                sorted.length);
    }
}
