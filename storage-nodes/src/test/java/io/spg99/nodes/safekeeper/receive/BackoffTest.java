package io.spg99.nodes.safekeeper.receive;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class BackoffTest {

    private final Backoff backoff = new Backoff();

    private List<Long> waits(int count) {
        return Stream.generate(backoff::next)
                .limit(count)
                .map(Duration::toMillis)
                .toList();
    }

    @Test
    void givenFailures_whenTheyGoOn_thenTheWaitDoublesUpToItsLimit() {
        assertEquals(List.of(50L, 100L, 200L, 400L, 800L, 1600L, 2000L, 2000L), waits(8));
    }

    @Test
    void givenFailures_whenSomethingGoesWell_thenItBeginsAnew() {
        waits(5);

        backoff.reset();

        assertEquals(List.of(50L, 100L), waits(2));
    }
}
