package io.spg99.lifecycle.autoscale;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.spg99.gateway.login.PoolMode;
import io.spg99.lifecycle.model.Profile;
import io.spg99.lifecycle.model.Tunables;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.IntToDoubleFunction;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Load curves, a sample a second; each test says which steps they cause, as the platform comes configured. */
class AutoscalerTest {

    private static final AutoscalerSettings SETTINGS = AutoscalerSettings.from(ConfigFactory.load());
    private static final Instant START = Instant.parse("2026-11-22T09:00:00Z");
    private static final Tunables ALL =
            new Tunables(Duration.ofMinutes(5), true, Profile.L1, Profile.L5, PoolMode.TRANSACTION);

    /** No writer lives for less after a switch. */
    private static final int COOLDOWN = 30;

    private record StepTaken(int second, Profile to) {}

    private static final Map<Profile, Capacity> CAPACITIES = Arrays.stream(Profile.values())
            .collect(Collectors.toMap(Function.identity(), profile -> {
                io.spg99.compute.generation.Profile size =
                        io.spg99.compute.generation.Profile.named(profile.name(), ConfigFactory.load());
                return new Capacity(size.cpus(), size.memoryMb() - size.sharedBuffersMb());
            }));

    private static Capacity capacity(Profile profile) {
        return Objects.requireNonNull(CAPACITIES.get(profile));
    }

    /** The decision after a load that was the same for a while. */
    private static Autoscaler.Decision after(
            int seconds, Profile current, double memoryMb, int waiting, double misses) {
        List<LoadSample> samples = new ArrayList<>();
        for (int second = 0; second <= seconds; second++) {
            samples.add(new LoadSample(START.plusSeconds(second), 0.1, memoryMb, waiting, misses));
        }
        return Autoscaler.decide(SETTINGS, ALL, AutoscalerTest::capacity, current, samples, START.plusSeconds(seconds));
    }

    /**
     * Runs the decision over a curve as the Database actor does: samples begin anew with each writer, nothing is decided while a
     * handoff cools down.
     *
     * @param demand processors that the load would use; with {@code enforced} it gets no more than the profile's
     */
    private static List<StepTaken> run(
            Tunables policy, Profile first, int seconds, boolean enforced, IntToDoubleFunction demand) {
        List<StepTaken> steps = new ArrayList<>();
        List<LoadSample> samples = new ArrayList<>();
        Profile current = first;
        int quietUntil = 0;
        for (int second = 0; second < seconds; second++) {
            Instant now = START.plusSeconds(second);
            double wanted = demand.applyAsDouble(second);
            double used = enforced ? Math.min(wanted, capacity(current).cpus()) : wanted;
            samples.add(new LoadSample(now, used, 50, 0, 0));
            samples.removeIf(old -> old.at().isBefore(now.minus(SETTINGS.downAfter())));
            if (second < quietUntil) {
                continue;
            }
            Autoscaler.Decision decision =
                    Autoscaler.decide(SETTINGS, policy, AutoscalerTest::capacity, current, samples, now);
            if (decision.profile().isPresent()) {
                current = decision.profile().get();
                steps.add(new StepTaken(second, current));
                samples.clear();
                quietUntil = second + COOLDOWN;
            }
        }
        return steps;
    }

    @Test
    void givenALoadThatStays_whenItBegins_thenUpWithinSecondsAndAsFarAsItTakes() {
        List<StepTaken> steps = run(ALL, Profile.L1, 300, false, second -> second < 100 ? 0.05 : 2.5);
        assertEquals(1, steps.size(), steps::toString);
        assertEquals(Profile.L4, steps.getFirst().to());
        assertTrue(steps.getFirst().second() <= 104, steps::toString);
    }

    @Test
    void givenEnforcedProfiles_whenTheLoadIsMore_thenStepByStepUpToWhereItFits() {
        List<StepTaken> steps = run(ALL, Profile.L1, 400, true, second -> 2.5);
        assertEquals(
                List.of(Profile.L2, Profile.L3, Profile.L4),
                steps.stream().map(StepTaken::to).toList());
    }

    @Test
    void givenASpikeOfOneSecond_thenNothing() {
        assertEquals(List.of(), run(ALL, Profile.L1, 300, false, second -> second % 60 == 30 ? 1.2 : 0.05));
    }

    @Test
    void givenASawtooth_thenUpOnceAndNeverBack() {
        // From nothing to 1.6 processors in 40 s, over and over.
        List<StepTaken> steps = run(ALL, Profile.L1, 900, false, second -> (second % 40) * 0.04);
        assertTrue(steps.size() <= 3, steps::toString);
        for (int i = 1; i < steps.size(); i++) {
            assertTrue(steps.get(i).to().compareTo(steps.get(i - 1).to()) > 0, steps::toString);
        }
    }

    @Test
    void givenALoadThatFlapsAroundTheThreshold_thenOneStepAtMost() {
        List<StepTaken> steps = run(ALL, Profile.L2, 1200, false, second -> second / 10 % 2 == 0 ? 0.85 : 0.65);
        assertTrue(steps.size() <= 1, steps::toString);
    }

    @Test
    void givenSlowGrowth_thenEveryProfileInTurn() {
        List<StepTaken> steps = run(ALL, Profile.L1, 1200, false, second -> second * 0.006);
        assertEquals(
                List.of(Profile.L2, Profile.L3, Profile.L4, Profile.L5),
                steps.stream().map(StepTaken::to).toList());
    }

    /** What pgbench caused in a real writer. */
    private static List<Double> recorded() throws IOException {
        try (InputStream in = Objects.requireNonNull(AutoscalerTest.class.getResourceAsStream("pgbench.load"))) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8)
                    .lines()
                    .filter(line -> !line.startsWith("#"))
                    .map(Double::valueOf)
                    .toList();
        }
    }

    @Test
    void givenARecordedLoad_whenItComesAndGoes_thenUpOnceAndBackAfterAMinute() throws IOException {
        List<Double> load = recorded();
        List<StepTaken> steps =
                run(ALL, Profile.L1, 300, false, second -> second < load.size() ? load.get(second) : 0.01);
        assertEquals(
                List.of(Profile.L2, Profile.L1),
                steps.stream().map(StepTaken::to).toList());
        assertTrue(steps.getFirst().second() < 10, steps::toString);
        assertTrue(
                steps.getLast().second() >= load.size() + SETTINGS.downAfter().toSeconds() / 2, steps::toString);
    }

    @Test
    void givenARecordedLoadOfAnySize_whenItComesAndGoes_thenOnlyUpAndThenOnlyDown() throws IOException {
        List<Double> load = recorded();
        for (int times = 1; times <= 10; times++) {
            int size = times;
            List<StepTaken> steps =
                    run(ALL, Profile.L1, 900, false, second -> second < load.size() ? size * load.get(second) : 0.01);
            assertEquals(Profile.L1, steps.getLast().to(), () -> size + " times: " + steps);
            for (int i = 2; i < steps.size(); i++) {
                boolean up = steps.get(i).to().compareTo(steps.get(i - 1).to()) > 0;
                boolean wasUp = steps.get(i - 1).to().compareTo(steps.get(i - 2).to()) > 0;
                assertTrue(!up || wasUp, () -> size + " times: " + steps);
            }
        }
    }

    @Test
    void givenIdleness_thenDownSlowlyOneAtATime() {
        List<StepTaken> steps = run(ALL, Profile.L4, 600, false, second -> 0.01);
        assertEquals(
                List.of(Profile.L3, Profile.L2, Profile.L1),
                steps.stream().map(StepTaken::to).toList());
        for (int i = 1; i < steps.size(); i++) {
            assertTrue(
                    steps.get(i).second() - steps.get(i - 1).second()
                            >= SETTINGS.downAfter().toSeconds() / 2,
                    steps::toString);
        }
    }

    @Test
    void givenAnyConstantLoad_thenItSettles() {
        for (double load = 0; load < 8; load += 0.1) {
            double constant = load;
            for (Profile first : Profile.values()) {
                List<StepTaken> steps = run(ALL, first, 900, false, second -> constant);
                int late = steps.isEmpty() ? 0 : steps.getLast().second();
                assertTrue(steps.size() <= 4 && late < 600, () -> constant + " from " + first + ": " + steps);
                boolean up = steps.stream().anyMatch(step -> step.to().compareTo(first) > 0);
                boolean down = steps.stream().anyMatch(step -> step.to().compareTo(first) < 0);
                assertTrue(!up || !down, () -> constant + " from " + first + ": " + steps);
            }
        }
    }

    @Test
    void givenBounds_thenNeverBeyondThemAndBackIntoThemAtOnce() {
        Tunables narrow = new Tunables(Duration.ofMinutes(5), true, Profile.L2, Profile.L3, PoolMode.TRANSACTION);
        assertEquals(List.of(new StepTaken(0, Profile.L2)), run(narrow, Profile.L1, 60, false, second -> 0.01));
        assertEquals(List.of(new StepTaken(0, Profile.L3)), run(narrow, Profile.L5, 29, false, second -> 7));
        assertEquals(
                List.of(Profile.L3),
                run(narrow, Profile.L2, 300, false, second -> 7).stream()
                        .map(StepTaken::to)
                        .toList());
    }

    @Test
    void givenAutoscaleOff_thenNothingAndItSaysSo() {
        Tunables off = new Tunables(Duration.ofMinutes(5), false, Profile.L1, Profile.L5, PoolMode.TRANSACTION);
        assertEquals(List.of(), run(off, Profile.L1, 300, false, second -> 7));
        assertEquals(
                "autoscale is off",
                Autoscaler.decide(SETTINGS, off, AutoscalerTest::capacity, Profile.L1, List.of(), START)
                        .explanation());
    }

    @Test
    void givenClientsThatWait_whenProcessorsAreIdle_thenUp() {
        assertEquals(Optional.of(Profile.L2), after(9, Profile.L1, 50, 5, 0).profile());
    }

    @Test
    void givenProcessesThatNeedMemory_whenItIsNearlyAllOfTheProfile_thenUpAsFarAsItTakesAndDownWhenItIsGone() {
        Autoscaler.Decision up = after(9, Profile.L1, 1000, 0, 0);
        assertEquals(Optional.of(Profile.L3), up.profile(), "1000 MB are more than 0.7 of 896 MB");
        assertTrue(up.explanation().contains("1000 MB of 480 MB"), up::explanation);
        assertEquals(Optional.empty(), after(90, Profile.L3, 600, 0, 0).profile(), "more than half of 896 MB");
        assertEquals(Optional.of(Profile.L2), after(90, Profile.L3, 100, 0, 0).profile());
    }

    @Test
    void givenAFullCacheThatMissesAllTheTime_thenUpByOneAndNeverDown() {
        Autoscaler.Decision up = after(9, Profile.L1, 50, 0, 1000);
        assertEquals(Optional.of(Profile.L2), up.profile());
        assertTrue(up.explanation().contains("cache is too small"), up::explanation);
        Tunables bounded = new Tunables(Duration.ofMinutes(5), true, Profile.L1, Profile.L2, PoolMode.TRANSACTION);
        List<LoadSample> samples = new ArrayList<>();
        for (int second = 0; second <= 90; second++) {
            samples.add(new LoadSample(START.plusSeconds(second), 0.01, 50, 0, second % 10 == 0 ? 0 : 1000));
        }
        assertEquals(
                Optional.empty(),
                Autoscaler.decide(
                                SETTINGS, bounded, AutoscalerTest::capacity, Profile.L2, samples, START.plusSeconds(90))
                        .profile());
    }

    @Test
    void settingsThatWouldFlapAreRefused() {
        assertThrows(
                IllegalArgumentException.class,
                () -> new AutoscalerSettings(Duration.ofSeconds(4), 0.5, 0.7, Duration.ofSeconds(60), 0.6, 200));
    }
}
