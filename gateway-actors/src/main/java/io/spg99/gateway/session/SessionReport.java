package io.spg99.gateway.session;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.spg99.gateway.wire.Effects;
import io.spg99.gateway.wire.SqlScanner;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** What PostgreSQL answers when it is asked what a session holds. */
public final class SessionReport {

    /**
     * One row per thing held: its kind, a name, a value. Names and values are in hexadecimal UTF-8: nothing depends on the
     * client's encoding. A transaction's own settings are no session's.
     */
    private static final String SQL = """
            SELECT 's', pg_catalog.encode(pg_catalog.convert_to(name, 'UTF8'), 'hex'), \
            pg_catalog.encode(pg_catalog.convert_to(setting, 'UTF8'), 'hex') \
            FROM pg_catalog.pg_settings WHERE source = 'session' AND name NOT LIKE 'transaction\\_%' \
            UNION ALL SELECT 's', '726f6c65', pg_catalog.encode(pg_catalog.convert_to(r, 'UTF8'), 'hex') \
            FROM pg_catalog.current_setting('role') r WHERE r <> 'none' \
            UNION ALL SELECT 'l', pg_catalog.encode(pg_catalog.convert_to(c, 'UTF8'), 'hex'), '' \
            FROM pg_catalog.pg_listening_channels() c \
            UNION ALL SELECT 'c', '', '' FROM pg_catalog.pg_cursors WHERE is_holdable \
            UNION ALL SELECT 'p', pg_catalog.encode(pg_catalog.convert_to(name, 'UTF8'), 'hex'), \
            pg_catalog.encode(pg_catalog.convert_to(statement, 'UTF8'), 'hex') \
            FROM pg_catalog.pg_prepared_statements WHERE from_sql \
            UNION ALL SELECT 'a', '', '' FROM pg_catalog.pg_locks \
            WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() \
            UNION ALL SELECT 't', '', '' FROM pg_catalog.pg_depend \
            WHERE refclassid = 2615 AND refobjid = pg_catalog.pg_my_temp_schema()""";

    private final Map<String, String> settings = new HashMap<>();
    private final List<String> channels = new ArrayList<>();
    private final Map<String, String> prepared = new HashMap<>();
    private final Set<PinReason> reasons = EnumSet.noneOf(PinReason.class);

    /**
     * The question.
     *
     * @param customNames parameters that no module has defined, which PostgreSQL does not list: asked for by name. One that
     *                    is empty is taken as not set, which it cannot become again
     */
    public static String sql(Collection<String> customNames) {
        if (customNames.isEmpty()) {
            return SQL;
        }
        return customNames.stream()
                .map(Settings::literal)
                .collect(Collectors.joining(
                        ", ",
                        SQL + " UNION ALL SELECT 's', pg_catalog.encode(pg_catalog.convert_to(n, 'UTF8'), 'hex'),"
                                + " pg_catalog.encode(pg_catalog.convert_to("
                                + "pg_catalog.current_setting(n, true), 'UTF8'), 'hex')"
                                + " FROM pg_catalog.unnest(ARRAY[",
                        "]) n WHERE pg_catalog.current_setting(n, true) <> ''"));
    }

    /** One row of the answer. */
    public void row(List<String> columns) {
        String name = text(columns.get(1));
        String value = text(columns.get(2));
        switch (columns.get(0)) {
            case "s" -> settings.put(name, value);
            case "l" -> {
                channels.add(name);
                reasons.add(PinReason.LISTEN);
            }
            case "c" -> reasons.add(PinReason.HOLD_CURSOR);
            case "p" -> {
                prepared.put(name, value);
                if (!canBePrepared(value)) {
                    reasons.add(PinReason.STATEMENT);
                }
            }
            case "a" -> reasons.add(PinReason.ADVISORY_LOCK);
            case "t" -> reasons.add(PinReason.TEMPORARY_OBJECT);
            default -> reasons.add(PinReason.NOT_UNDERSTOOD);
        }
    }

    private static String text(String hexadecimal) {
        return new String(HexFormat.of().parseHex(hexadecimal), StandardCharsets.UTF_8);
    }

    /** PostgreSQL keeps the text it was sent: it can be sent again if it holds the PREPARE alone, in ASCII. */
    private static boolean canBePrepared(String sql) {
        ByteBuf bytes = Unpooled.wrappedBuffer(sql.getBytes(StandardCharsets.UTF_8));
        SqlScanner scanner = new SqlScanner();
        scanner.scan(bytes, 0, bytes.readableBytes());
        scanner.end();
        return scanner.statements() == 1
                && (scanner.effects() & Effects.PREPARE) != 0
                && (scanner.effects() & Effects.OPAQUE) == 0
                && sql.chars().allMatch(c -> c < 0x80);
    }

    public Settings settings() {
        return Settings.of(settings);
    }

    /** Channels listened to. */
    public List<String> channels() {
        return List.copyOf(channels);
    }

    /** Statements of SQL's PREPARE: text by name. */
    public Map<String, String> prepared() {
        return Map.copyOf(prepared);
    }

    public Set<PinReason> reasons() {
        return reasons;
    }
}
