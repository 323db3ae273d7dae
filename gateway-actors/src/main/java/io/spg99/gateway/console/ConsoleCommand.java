package io.spg99.gateway.console;

import io.spg99.gateway.wire.SqlError;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;

/** A statement of the admin console. */
public sealed interface ConsoleCommand {

    record Show(Subject subject) implements ConsoleCommand {}

    /** Drivers set parameters when they connect: they are taken, and mean nothing here. */
    record Set() implements ConsoleCommand {}

    record Help() implements ConsoleCommand {}

    /** A statement of nothing. */
    record Nothing() implements ConsoleCommand {}

    /**
     * @param target name of a database, {@code user.name}, or its id; empty for all
     */
    record Act(Action action, Optional<String> target) implements ConsoleCommand {}

    /** It cannot be understood. */
    record Wrong(SqlError error) implements ConsoleCommand {}

    enum Action {
        /** Transactions end, none begins. */
        PAUSE,
        RESUME,
        /** All its clients are dropped. */
        KILL,
        /** Server connections are closed as soon as nobody uses them. */
        RECONNECT
    }

    String HELP = """
            SHOW POOLS | CLIENTS | SERVERS | STATS | DATABASES | LEASES | PINNED | LISTS | CONFIG | VERSION | HELP
            PAUSE [database]      transactions end, none begins; returns when all have ended
            RESUME [database]
            KILL database         drops its clients
            RECONNECT [database]  closes server connections when nobody uses them
            A database is named by its name, by user.name, or by its id.""";

    Pattern SPACE = Pattern.compile("\\s+");

    static ConsoleCommand parse(String text) {
        String statement = text.strip();
        while (statement.endsWith(";")) {
            statement = statement.substring(0, statement.length() - 1).strip();
        }
        if (statement.isEmpty()) {
            return new Nothing();
        }
        List<String> words = List.of(SPACE.split(statement));
        String verb = words.getFirst().toUpperCase(Locale.ROOT);
        if (verb.equals("SET")) {
            return new Set();
        }
        if (words.size() <= 2) {
            if (verb.equals("SHOW") && words.size() == 2) {
                String subject = words.get(1);
                return subject.equalsIgnoreCase("HELP")
                        ? new Help()
                        : Subject.parse(subject).<ConsoleCommand>map(Show::new).orElseGet(ConsoleCommand::wrong);
            }
            Optional<String> target = words.stream().skip(1).findFirst().map(ConsoleCommand::name);
            for (Action action : Action.values()) {
                if (action.name().equals(verb) && (target.isPresent() || action != Action.KILL)) {
                    return new Act(action, target);
                }
            }
        }
        return wrong();
    }

    /** As PostgreSQL reads names. */
    private static String name(String word) {
        return word.length() > 1 && word.startsWith("\"") && word.endsWith("\"")
                ? word.substring(1, word.length() - 1).replace("\"\"", "\"")
                : word;
    }

    private static Wrong wrong() {
        return new Wrong(new SqlError("42601", "this is no command of the admin console", "SHOW HELP lists them."));
    }
}
