package io.spg99.storage.postgres;

import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.MDC;

/**
 * Passes a server's log lines on to the logger {@code postgres}. What the tenant's own statements cause (errors, warnings)
 * is DEBUG: it is theirs, may hold their data, and says nothing about the server. So is what comes beside a message, a detail
 * for instance, which may quote a statement.
 */
public final class PostgresLog {

    private static final Logger LOG = LoggerFactory.getLogger("postgres");
    private static final Pattern SEVERITY = Pattern.compile("\\b(PANIC|FATAL|ERROR|WARNING|LOG):  ");

    /** As {@code log_line_prefix = '[%p] %b '} writes it, before a severity. */
    private static final Pattern PROCESS = Pattern.compile("^\\[\\d+] ([a-z ]+) (?:PANIC|FATAL|ERROR|WARNING|LOG):  ");

    /** Processes that run no statement of a tenant. Autovacuum and background workers do. */
    private static final Set<String> OWN = Set.of(
            "postmaster",
            "startup",
            "checkpointer",
            "background writer",
            "walwriter",
            "walsender",
            "walreceiver",
            "archiver",
            "autovacuum launcher");

    private PostgresLog() {}

    /**
     * A sink for the lines of one server that has a tenant, or none yet; {@code context} becomes the logging context (MDC).
     *
     * <p>Its {@code log_line_prefix} must be {@code '[%p] %b '}.
     */
    public static Consumer<String> sink(Map<String, String> context) {
        return sink(context, line -> {
            Matcher process = PROCESS.matcher(line);
            return process.find() && OWN.contains(process.group(1));
        });
    }

    /** The same for a server that no tenant ever reaches: all of its messages count. */
    public static Consumer<String> platformSink(Map<String, String> context) {
        return sink(context, line -> SEVERITY.matcher(line).find());
    }

    private interface Filter {
        boolean isAboutTheServer(String line);
    }

    private static Consumer<String> sink(Map<String, String> context, Filter filter) {
        Map<String, String> mdc = Map.copyOf(context);
        return line -> {
            mdc.forEach(MDC::put);
            write(line, filter);
        };
    }

    private static void write(String line, Filter filter) {
        Matcher severity = SEVERITY.matcher(line);
        String word = severity.find() ? severity.group(1) : "";
        if (word.equals("PANIC")) {
            LOG.error(line);
        } else if (word.equals("FATAL") || filter.isAboutTheServer(line)) {
            LOG.info(line);
        } else {
            LOG.debug(line);
        }
    }
}
