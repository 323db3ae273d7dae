package io.spg99.lifecycle.model;

import java.time.Duration;
import java.time.format.DateTimeParseException;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The text forms of an idle timeout. As a {@link Duration}, zero means never. */
public final class IdleTimeout {

    public static final Duration NEVER = Duration.ZERO;
    public static final Duration DEFAULT = Duration.ofMinutes(5);
    public static final Duration MIN = Duration.ofSeconds(1);

    /** Far more than anybody needs, and far from every overflow. */
    public static final Duration MAX = Duration.ofDays(365);

    /** What a text must look like, for error messages. */
    public static final String RULE =
            "an idle timeout is \"never\", a duration like \"30s\", \"5m\", \"1h30m\" or \"PT5M\", or a number of seconds,"
                    + " from 1 second to 365 days";

    private static final Pattern SHORT = Pattern.compile("(?:(\\d{1,6})h)?(?:(\\d{1,6})m)?(?:(\\d{1,9})s)?");
    private static final Pattern SECONDS = Pattern.compile("\\d{1,9}");

    private IdleTimeout() {}

    /** Empty if the text breaks {@link #RULE}. */
    public static Optional<Duration> parse(String text) {
        if (text.equals("never")) {
            return Optional.of(NEVER);
        }
        return duration(text).filter(d -> d.compareTo(MIN) >= 0 && d.compareTo(MAX) <= 0);
    }

    private static Optional<Duration> duration(String text) {
        if (SECONDS.matcher(text).matches()) {
            return Optional.of(Duration.ofSeconds(Long.parseLong(text)));
        }
        Matcher parts = SHORT.matcher(text);
        if (!text.isEmpty() && parts.matches()) {
            return Optional.of(Duration.ofHours(number(parts, 1))
                    .plusMinutes(number(parts, 2))
                    .plusSeconds(number(parts, 3)));
        }
        try {
            return text.startsWith("PT") ? Optional.of(Duration.parse(text)) : Optional.empty();
        } catch (DateTimeParseException e) {
            return Optional.empty();
        }
    }

    private static long number(Matcher parts, int group) {
        String digits = parts.group(group);
        return digits == null ? 0 : Long.parseLong(digits);
    }

    /** The canonical text: {@code never}, or hours, minutes and seconds without those that are zero. */
    public static String format(Duration timeout) {
        if (timeout.isZero()) {
            return "never";
        }
        StringBuilder text = new StringBuilder();
        appendPart(text, timeout.toHours(), 'h');
        appendPart(text, timeout.toMinutesPart(), 'm');
        appendPart(text, timeout.toSecondsPart(), 's');
        return text.toString();
    }

    private static void appendPart(StringBuilder text, long number, char unit) {
        if (number > 0) {
            text.append(number).append(unit);
        }
    }
}
