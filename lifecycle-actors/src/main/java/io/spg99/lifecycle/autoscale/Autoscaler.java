package io.spg99.lifecycle.autoscale;

import io.spg99.lifecycle.model.Profile;
import io.spg99.lifecycle.model.Tunables;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;

/**
 * Decides the profile of a database. Up fast, when a load has lasted for seconds, over as many profiles as it takes; down
 * slowly, one profile at a time, when everything of the last minutes would have fitted into the smaller one with room to spare.
 * Between the two nothing happens, so that a load that has just caused a step never causes the one back.
 */
public final class Autoscaler {

    /** From small to large. */
    private static final List<Profile> SIZES = List.of(Profile.values());

    /** Fewer samples in a window than this share of its seconds mean that it was not watched. */
    private static final double SEEN = 0.6;

    /**
     * @param profile     another than the current one, or empty
     * @param explanation for people
     */
    public record Decision(Optional<Profile> profile, String explanation) {}

    /** What a writer used for some time. */
    private record Use(double cpus, double memoryMb) {

        /** Of what is scarcer. */
        double share(Capacity of) {
            return Math.max(cpus / of.cpus(), memoryMb / of.memoryMb());
        }

        Use or(Use other) {
            return new Use(Math.max(cpus, other.cpus), Math.max(memoryMb, other.memoryMb));
        }

        @Override
        public String toString() {
            return String.format(Locale.ROOT, "%.2f cpu, %.0f MB", cpus, memoryMb);
        }

        String of(Capacity all) {
            return String.format(
                    Locale.ROOT,
                    "%.2f cpu of %.2f cpu, %.0f MB of %.0f MB",
                    cpus,
                    all.cpus(),
                    memoryMb,
                    all.memoryMb());
        }
    }

    private Autoscaler() {}

    /**
     * @param capacity of a profile
     * @param current  profile of the writer
     * @param samples  of this writer, oldest first, one a second
     */
    public static Decision decide(
            AutoscalerSettings settings,
            Tunables policy,
            Function<Profile, Capacity> capacity,
            Profile current,
            List<LoadSample> samples,
            Instant now) {
        if (!policy.autoscale()) {
            return stay("autoscale is off");
        }
        if (current.compareTo(policy.minProfile()) < 0) {
            return to(policy.minProfile(), "below min_profile");
        }
        if (current.compareTo(policy.maxProfile()) > 0) {
            return to(policy.maxProfile(), "above max_profile");
        }
        List<LoadSample> recent = window(samples, now, settings.upAfter());
        if (isWatched(recent, settings.upAfter())) {
            Use load = usual(recent);
            String shortage = shortage(settings, recent);
            if (!shortage.isEmpty() || load.share(capacity.apply(current)) >= settings.upAt()) {
                return up(settings, policy, capacity, current, load, shortage);
            }
        }
        List<LoadSample> past = window(samples, now, settings.downAfter());
        if (!isWatched(past, settings.downAfter())) {
            return stay("watched for less than " + seconds(settings.downAfter()));
        }
        return down(settings, policy, capacity, current, past);
    }

    /** What was short all the time, whatever the load; or nothing. */
    private static String shortage(AutoscalerSettings settings, List<LoadSample> window) {
        if (window.stream().allMatch(sample -> sample.waiting() > 0)) {
            return "clients wait for connections, ";
        }
        return window.stream().allMatch(sample -> sample.misses() >= settings.missesAt())
                ? "the cache is too small for what is read, "
                : "";
    }

    private static Decision up(
            AutoscalerSettings settings,
            Tunables policy,
            Function<Profile, Capacity> capacity,
            Profile current,
            Use load,
            String shortage) {
        String why = shortage + "load " + load.of(capacity.apply(current)) + " for " + seconds(settings.upAfter());
        if (current == policy.maxProfile()) {
            return stay(why + ", and max_profile is reached");
        }
        Profile next = beside(current, 1);
        while (next.compareTo(policy.maxProfile()) < 0 && load.share(capacity.apply(next)) > settings.roomAt()) {
            next = beside(next, 1);
        }
        return to(next, why);
    }

    private static Decision down(
            AutoscalerSettings settings,
            Tunables policy,
            Function<Profile, Capacity> capacity,
            Profile current,
            List<LoadSample> past) {
        Use most = busiest(past, settings.upAfter());
        String load = "at most " + most + " in " + seconds(settings.downAfter());
        if (current == policy.minProfile()) {
            return stay("load " + load + ", and min_profile is reached");
        }
        Profile smaller = beside(current, -1);
        boolean fits = most.share(capacity.apply(smaller)) < settings.downAt()
                && past.stream().allMatch(sample -> sample.waiting() == 0 && sample.misses() < settings.missesAt());
        return fits ? to(smaller, "load " + load) : stay("load " + load + ": " + current + " fits");
    }

    /** The profile that is {@code steps} larger, or smaller. */
    private static Profile beside(Profile profile, int steps) {
        return SIZES.get(SIZES.indexOf(profile) + steps);
    }

    private static Decision to(Profile profile, String why) {
        return new Decision(Optional.of(profile), "autoscaler: " + why);
    }

    private static Decision stay(String why) {
        return new Decision(Optional.empty(), why);
    }

    private static List<LoadSample> window(List<LoadSample> samples, Instant now, Duration length) {
        Instant from = now.minus(length);
        return samples.stream().filter(sample -> sample.at().isAfter(from)).toList();
    }

    /** There must be samples all along, and an older one: a writer is not judged by its first seconds alone. */
    private static boolean isWatched(List<LoadSample> window, Duration length) {
        return window.size() >= Math.max(2, SEEN * length.toSeconds())
                && Duration.between(window.getFirst().at(), window.getLast().at())
                                .compareTo(length.dividedBy(2))
                        >= 0;
    }

    /** What half of the samples reach: a spike, or the first second of a load, is not it. */
    private static Use usual(List<LoadSample> window) {
        return new Use(median(window, LoadSample::cpus), median(window, LoadSample::memoryMb));
    }

    private static double median(List<LoadSample> window, ToDoubleFunction<LoadSample> figure) {
        double[] sorted = window.stream().mapToDouble(figure).sorted().toArray();
        return sorted[(sorted.length - 1) / 2];
    }

    /** The highest load over any {@code length}: what would have caused a step up. */
    private static Use busiest(List<LoadSample> window, Duration length) {
        Use most = new Use(0, 0);
        List<LoadSample> moving = new ArrayList<>();
        for (LoadSample sample : window) {
            moving.add(sample);
            moving.removeIf(old -> !old.at().isAfter(sample.at().minus(length)));
            most = most.or(usual(moving));
        }
        return most;
    }

    private static String seconds(Duration duration) {
        return duration.toSeconds() + " s";
    }
}
