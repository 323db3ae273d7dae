package io.spg99.tests.fault;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.awaitility.Awaitility;

/**
 * The states of a database's handoffs as the program's log says them, from now on, each as soon as it is written: some last for
 * milliseconds, and no question to the API would find them.
 */
final class ScaleStateLog implements AutoCloseable {

    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final RandomAccessFile log;
    private final Pattern step;
    private String state = "STEADY";
    private String rest = "";

    ScaleStateLog(Path data, String databaseId) throws IOException {
        log = new RandomAccessFile(data.resolve("logs").resolve("spg99.log").toFile(), "r");
        log.seek(log.length());
        step = Pattern.compile("database=" + databaseId + " [A-Z_]+ -> ([A-Z_]+), .*");
    }

    /** Reads on until the database has come to {@code wanted}. */
    void await(String wanted) {
        Awaitility.await("scale_state " + wanted)
                .atMost(LIMIT)
                .pollInSameThread()
                .pollDelay(Duration.ZERO)
                .pollInterval(Duration.ofMillis(1))
                .until(() -> reads(wanted));
    }

    /** What was said last. */
    String latest() {
        boolean more = true;
        while (more) {
            more = next();
        }
        return state;
    }

    private boolean reads(String wanted) {
        while (next()) {
            if (state.equals(wanted)) {
                return true;
            }
        }
        return false;
    }

    /** Reads up to the next state, if there is one. */
    private boolean next() {
        try {
            fill();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        int end = rest.indexOf('\n');
        while (end >= 0) {
            Matcher found = step.matcher(rest.substring(0, end));
            rest = rest.substring(end + 1);
            if (found.find()) {
                state = found.group(1);
                return true;
            }
            end = rest.indexOf('\n');
        }
        return false;
    }

    private void fill() throws IOException {
        long more = log.length() - log.getFilePointer();
        if (more > 0) {
            byte[] bytes = new byte[(int) more];
            log.readFully(bytes);
            rest += new String(bytes, StandardCharsets.UTF_8);
        }
    }

    @Override
    public void close() throws IOException {
        log.close();
    }
}
