package io.spg99.gateway.console;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** What {@code SHOW} shows. Columns have PgBouncer's names where they mean the same. */
public enum Subject {
    POOLS(
            "database",
            "user",
            "cl_active#",
            "cl_waiting#",
            "cl_idle#",
            "sv_active#",
            "sv_idle#",
            "sv_login#",
            "maxwait#",
            "maxwait_us#",
            "pool_mode",
            "paused#",
            "frozen#"),
    CLIENTS(
            "type",
            "user",
            "database",
            "state",
            "addr",
            "port#",
            "connect_time",
            "wait#",
            "wait_us#",
            "ptr",
            "link#",
            "tls",
            "application_name",
            "pool_mode",
            "pinned"),
    SERVERS("type", "user", "database", "state", "addr", "connect_time", "remote_pid#", "link", "generation#"),
    STATS("database", "user", "total_xact_count#", "total_received#", "total_sent#", "total_wait_time#"),
    DATABASES(
            "name",
            "host",
            "port#",
            "database",
            "force_user",
            "pool_size#",
            "current_connections#",
            "current_client_connections#",
            "paused#",
            "id"),
    LEASES("database", "user", "id", "generation#", "writer", "server_connections#"),
    PINNED("database", "user", "ptr", "reason"),
    LISTS("list", "items#"),
    CONFIG("key", "value"),
    VERSION("version");

    @SuppressWarnings("ImmutableEnumChecker") // the list of Stream.toList() is immutable
    private final List<Column> columns;

    /** @param numeric shown as int8 */
    public record Column(String name, boolean numeric) {
        static Column of(String text) {
            return text.endsWith("#")
                    ? new Column(text.substring(0, text.length() - 1), true)
                    : new Column(text, false);
        }
    }

    Subject(String... columns) {
        this.columns = Arrays.stream(columns).map(Column::of).toList();
    }

    public List<Column> columns() {
        return columns;
    }

    static Optional<Subject> parse(String word) {
        String name = word.toUpperCase(Locale.ROOT);
        return Arrays.stream(values())
                .filter(subject -> subject.name().equals(name))
                .findFirst();
    }
}
