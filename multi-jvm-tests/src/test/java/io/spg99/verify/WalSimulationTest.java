package io.spg99.verify;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.spg99.verify.Coverage.Visited;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Rules W1 to W6 under many orders of events; see docs/WAL-SIMULATION.md. */
class WalSimulationTest {

    /** All broken rules of docs/WAL-SIMULATION.md that 10,000 seeds notice are noticed by these. */
    private static final long SEEDS = 5_000;

    @BeforeAll
    static void quiet() {
        Seeds.quietLogs();
    }

    @Test
    void givenManySeeds_whenEverythingGoesWrong_thenTheWalRulesHold() {
        Seeds.Result result = Seeds.run(1, SEEDS, done -> {});

        System.out.printf("%,d seeds of the WAL simulation, visited%n%s", result.done(), result.coverage());
        result.failed().ifPresent(seed -> fail(Seeds.explain(seed)));
        assertEquals(SEEDS, result.done());
        List<Visited> neverVisited = Arrays.stream(Visited.values())
                .filter(state -> result.coverage().of(state) == 0)
                .toList();
        assertEquals(List.of(), neverVisited, "a state that the simulation is to visit, and does not any more");
    }

    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {1}) // To paste the seed into that failed.
    void givenOneSeed_whenEverythingGoesWrong_thenTheWalRulesHold(long seed) {
        try {
            Seeds.run(seed);
        } catch (Violation violation) {
            fail(Seeds.explain(seed), violation);
        }
    }

    @Test
    void givenASeed_whenItIsRunTwice_thenTheSameHappens() {
        assertEquals(trace(4711), trace(4711));
    }

    private static List<String> trace(long seed) {
        Trace all = Trace.last(Integer.MAX_VALUE);
        Seeds.run(seed, all);
        assertTrue(all.lines().size() > 100, "the trace tells what happened");
        return all.lines();
    }
}
