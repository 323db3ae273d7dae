package io.spg99.gateway.login;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class LoginBackoffTest {

    private static final SocketAddress HERE = new InetSocketAddress("192.0.2.1", 1);
    private static final SocketAddress THERE = new InetSocketAddress("192.0.2.2", 1);

    private long now;
    private final LoginBackoff backoff = new LoginBackoff(
            new LoginBackoff.Settings(3, Duration.ofMillis(100), Duration.ofSeconds(1), Duration.ofMinutes(10), 4),
            () -> now);

    private void fail(SocketAddress from, int times) {
        for (int i = 0; i < times; i++) {
            backoff.failed(from, "guessed");
        }
    }

    @Test
    void givenWrongPasswords_thenTheWaitGrowsToItsLimitForThatAddressOnly() {
        List<Long> waits = new ArrayList<>();
        for (int i = 0; i < 9; i++) {
            waits.add(backoff.delay(HERE, "guessed").toMillis());
            fail(HERE, 1);
        }
        assertEquals(List.of(0L, 0L, 0L, 100L, 200L, 400L, 800L, 1000L, 1000L), waits);
        fail(HERE, 10_000);
        assertEquals(Duration.ofSeconds(1), backoff.delay(HERE, "guessed"));
        assertEquals(Duration.ZERO, backoff.delay(THERE, "guessed"));
    }

    @Test
    void givenNoMoreWrongPasswords_whenTheTimeHasPassed_thenTheAddressBeginsAnew() {
        fail(HERE, 9);
        now += Duration.ofMinutes(10).toNanos();
        assertEquals(Duration.ofSeconds(1), backoff.delay(HERE, "guessed"));
        now += 1;
        assertEquals(Duration.ZERO, backoff.delay(HERE, "guessed"));
        fail(HERE, 1);
        assertEquals(Duration.ZERO, backoff.delay(HERE, "guessed"));
    }

    @Test
    void givenUserThatHasLoggedInFromThere_thenItWaitsOnlyWhenItsOwnPasswordIsGuessed() {
        backoff.succeeded(HERE, "known");
        fail(HERE, 9);
        assertEquals(Duration.ZERO, backoff.delay(HERE, "known"));
        backoff.failed(HERE, "known");
        assertEquals(Duration.ofSeconds(1), backoff.delay(HERE, "known"));
        backoff.succeeded(HERE, "known");
        assertEquals(Duration.ZERO, backoff.delay(HERE, "known"));
        assertEquals(Duration.ofSeconds(1), backoff.delay(HERE, "guessed"));
    }

    @Test
    void givenAddressesOfOneIpv6Network_thenTheyCountTogether() {
        for (int i = 1; i <= 9; i++) {
            backoff.failed(new InetSocketAddress("2001:db8::" + i, 1), "guessed");
        }
        assertEquals(Duration.ofSeconds(1), backoff.delay(new InetSocketAddress("2001:db8::aaaa", 1), "guessed"));
        assertEquals(Duration.ZERO, backoff.delay(new InetSocketAddress("2001:db8:0:1::1", 1), "guessed"));
    }

    @Test
    void givenMoreAddressesThanAreRemembered_thenTheLongestUnusedIsForgotten() {
        fail(HERE, 9);
        fail(THERE, 9);
        for (int i = 10; i < 13; i++) {
            backoff.delay(HERE, "guessed");
            fail(new InetSocketAddress("192.0.2." + i, 1), 1);
        }
        assertEquals(Duration.ofSeconds(1), backoff.delay(HERE, "guessed"));
        assertEquals(Duration.ZERO, backoff.delay(THERE, "guessed"));
    }
}
