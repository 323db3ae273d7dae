package io.spg99.storage.postgres;

import java.util.Map;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.MDC;

/**
 * Passes a server's log lines on to the logger {@code postgres}. What the tenant's own statements cause (errors, warnings)
 * is DEBUG: it is theirs, may hold their data, and says nothing about the server.
 */
public final class PostgresLog {

    private static final Logger LOG = LoggerFactory.getLogger("postgres");
    private static final Pattern SEVERITY = Pattern.compile("\\b(PANIC|FATAL|ERROR|WARNING|LOG):  ");

    private PostgresLog() {}

    /** A sink for the lines of one server; {@code context} becomes the logging context (MDC). */
    public static Consumer<String> sink(Map<String, String> context) {
        Map<String, String> mdc = Map.copyOf(context);
        return line -> {
            mdc.forEach(MDC::put);
            write(line);
        };
    }

    private static void write(String line) {
        Matcher severity = SEVERITY.matcher(line);
        String word = severity.find() ? severity.group(1) : "";
        switch (word) {
            case "PANIC" -> LOG.error(line);
            case "FATAL" -> LOG.info(line);
            default -> LOG.debug(line);
        }
    }
}
