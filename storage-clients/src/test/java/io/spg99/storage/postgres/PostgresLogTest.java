package io.spg99.storage.postgres;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/** What of a server's log an operator sees. */
class PostgresLogTest {

    private final Logger logger = (Logger) LoggerFactory.getLogger("postgres");
    private final ListAppender<ILoggingEvent> seen = new ListAppender<>();

    @BeforeEach
    void listen() {
        seen.start();
        logger.addAppender(seen);
        logger.setLevel(Level.DEBUG);
        logger.setAdditive(false);
    }

    @AfterEach
    void stopListening() {
        logger.detachAppender(seen);
        logger.setLevel(null);
        logger.setAdditive(true);
    }

    private List<Level> levels(Consumer<String> sink, String... lines) {
        seen.list.clear();
        List.of(lines).forEach(sink);
        return seen.list.stream().map(ILoggingEvent::getLevel).toList();
    }

    @Test
    void givenATenantsServer_whenItsOwnProcessesSaySomething_thenItIsSeen() {
        assertEquals(
                List.of(Level.INFO, Level.INFO, Level.INFO, Level.ERROR),
                levels(
                        PostgresLog.sink(Map.of()),
                        "[12] postmaster LOG:  server process (PID 34) was terminated by signal 11: Segmentation fault",
                        "[13] checkpointer ERROR:  could not write to file \"x\": No space left on device",
                        "[34] client backend FATAL:  terminating connection due to administrator command",
                        "[34] client backend PANIC:  could not write to file \"x\": No space left on device"));
    }

    @Test
    void givenATenantsServer_whenItsStatementsFail_thenThatIsTheirs() {
        assertEquals(
                List.of(Level.DEBUG, Level.DEBUG, Level.DEBUG, Level.DEBUG, Level.DEBUG),
                levels(
                        PostgresLog.sink(Map.of()),
                        "[34] client backend ERROR:  invalid input syntax for type integer: \"secret\"",
                        "[34] client backend ERROR:  [12] postmaster LOG:  not really",
                        "[35] autovacuum worker ERROR:  division by zero",
                        "[12] postmaster DETAIL:  Failed process was running: SELECT 'secret'",
                        "the second line of a message"));
    }

    @Test
    void givenThePlatformsServer_whenItSaysAnything_thenItIsSeen() {
        assertEquals(
                List.of(Level.INFO, Level.INFO, Level.DEBUG),
                levels(
                        PostgresLog.platformSink(Map.of()),
                        "2026-11-22 09:00:00.123 UTC [34] ERROR:  could not extend file: No space left on device",
                        "2026-11-22 09:00:00.123 UTC [12] LOG:  database system is ready to accept connections",
                        "2026-11-22 09:00:00.123 UTC [34] STATEMENT:  INSERT INTO event VALUES ($1)"));
    }
}
