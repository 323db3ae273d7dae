package io.spg99.lifecycle.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.LongRange;

class ValuesTest {

    /** The rule of the contract, read word by word instead of as a pattern. */
    private static boolean byTheRule(String name) {
        if (name.isEmpty() || name.getBytes(StandardCharsets.UTF_8).length > 63) {
            return false;
        }
        for (int i = 0; i < name.length(); i++) {
            char c = name.charAt(i);
            boolean letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
            boolean further = (c >= '0' && c <= '9') || c == '$';
            if (!letter && !(further && i > 0)) {
                return false;
            }
        }
        return true;
    }

    @Property(tries = 2000)
    void namesFollowTheRule(@ForAll("names") String name) {
        assertEquals(byTheRule(name), ObjectName.isValid(name), () -> "name=" + name);
    }

    @Property(tries = 500)
    void anyTextFollowsTheRule(@ForAll String name) {
        assertEquals(byTheRule(name), ObjectName.isValid(name), () -> "name=" + name);
    }

    @Provide
    Arbitrary<String> names() {
        return Arbitraries.strings()
                .withChars("abzABZ_$0189é-. \n\"'")
                .ofMinLength(0)
                .ofMaxLength(66);
    }

    @Example
    void namesAtTheirLimits() {
        assertTrue(ObjectName.isValid("a".repeat(63)));
        assertFalse(ObjectName.isValid("a".repeat(64)));
        assertFalse(ObjectName.isValid(""));
        assertFalse(ObjectName.isValid("1a"));
        assertFalse(ObjectName.isValid("$a"));
        assertFalse(ObjectName.isValid("app\n"));
        assertTrue(ObjectName.isValid("_$1"));
    }

    @Property(tries = 500)
    void idleTimeoutsAreReadAsTheyAreWritten(@ForAll @LongRange(min = 1, max = 365L * 24 * 3600) long seconds) {
        Duration timeout = Duration.ofSeconds(seconds);
        assertEquals(Optional.of(timeout), IdleTimeout.parse(IdleTimeout.format(timeout)));
        assertEquals(Optional.of(timeout), IdleTimeout.parse(timeout.toString()));
        assertEquals(Optional.of(timeout), IdleTimeout.parse(String.valueOf(seconds)));
    }

    @Example
    void idleTimeoutsAtTheirLimits() {
        assertEquals(Optional.of(Duration.ZERO), IdleTimeout.parse("never"));
        assertEquals("never", IdleTimeout.format(Duration.ZERO));
        assertEquals("1h30m", IdleTimeout.format(Duration.ofMinutes(90)));
        for (String bad :
                List.of("", "0", "0s", "-5", "-5m", "5x", "m5", "PT", "PT-5M", "P1D1", "99999h", "1e3", " 5m")) {
            assertEquals(Optional.empty(), IdleTimeout.parse(bad), () -> "text=" + bad);
        }
    }

    @Property(tries = 500)
    void anyTextIsNoReasonToFail(@ForAll String text) {
        IdleTimeout.parse(text).ifPresent(timeout -> assertFalse(timeout.isNegative()));
    }
}
