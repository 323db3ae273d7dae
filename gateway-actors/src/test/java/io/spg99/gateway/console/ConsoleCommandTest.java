package io.spg99.gateway.console;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.spg99.gateway.console.ConsoleCommand.Act;
import io.spg99.gateway.console.ConsoleCommand.Action;
import io.spg99.gateway.console.ConsoleCommand.Show;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ConsoleCommandTest {

    @Test
    void givenCommands_thenTheyAreUnderstood() {
        assertEquals(new Show(Subject.POOLS), ConsoleCommand.parse("SHOW POOLS"));
        assertEquals(new Show(Subject.CLIENTS), ConsoleCommand.parse("  show\n clients ; "));
        assertEquals(new ConsoleCommand.Help(), ConsoleCommand.parse("show help;"));
        assertEquals(new Act(Action.PAUSE, Optional.empty()), ConsoleCommand.parse("pause"));
        assertEquals(new Act(Action.RESUME, Optional.of("app")), ConsoleCommand.parse("RESUME app;"));
        assertEquals(new Act(Action.KILL, Optional.of("My\"App")), ConsoleCommand.parse("KILL \"My\"\"App\""));
        assertEquals(new ConsoleCommand.Set(), ConsoleCommand.parse("SET extra_float_digits = 3"));
        assertEquals(new ConsoleCommand.Nothing(), ConsoleCommand.parse(" ; "));
    }

    @ParameterizedTest
    @ValueSource(strings = {"SELECT 1", "SHOW", "SHOW NOTHING", "KILL", "PAUSE a b", "SHOW POOLS; SHOW STATS", "\0"})
    void givenAnythingElse_thenTheErrorNamesTheHelp(String text) {
        ConsoleCommand.Wrong wrong = (ConsoleCommand.Wrong) ConsoleCommand.parse(text);
        assertEquals("42601", wrong.error().sqlState());
        assertEquals("SHOW HELP lists them.", wrong.error().hint());
    }
}
