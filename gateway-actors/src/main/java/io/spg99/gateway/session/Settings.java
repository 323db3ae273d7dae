package io.spg99.gateway.session;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * Parameters set in a session that differ from what PostgreSQL starts one with; immutable. Names are lower case except as
 * PostgreSQL wrote them, values as {@code set_config} takes them.
 */
public final class Settings {

    public static final Settings NONE = new Settings(Map.of());

    /** What the meaning of a text depends on when it is prepared: its encoding, and how literals are read. */
    private static final Set<String> PARSING = Set.of(
            "client_encoding",
            "datestyle",
            "intervalstyle",
            "timezone",
            "standard_conforming_strings",
            "backslash_quote",
            "transform_null_equals",
            "xmloption",
            "lc_monetary",
            "array_nulls");

    private static final String ROLE = "role";

    private final Map<String, String> values;
    private final int hash;
    private final String parsing;

    private Settings(Map<String, String> values) {
        this.values = values;
        hash = values.hashCode();
        parsing = values.entrySet().stream()
                .filter(entry -> PARSING.contains(entry.getKey()))
                .map(entry -> entry.getKey() + '=' + entry.getValue())
                .collect(Collectors.joining("\0"));
    }

    public static Settings of(Map<String, String> values) {
        Map<String, String> sorted = new TreeMap<>();
        values.forEach((name, value) -> sorted.put(name.toLowerCase(Locale.ROOT), value));
        return sorted.isEmpty() ? NONE : new Settings(sorted);
    }

    /** These, and those of the base that are not among them. */
    public Settings over(Settings base) {
        if (base.values.isEmpty()) {
            return this;
        }
        Map<String, String> merged = new TreeMap<>(base.values);
        merged.putAll(values);
        return new Settings(merged);
    }

    /** Those that no module has defined, perhaps: their names have two parts. */
    public List<String> customNames() {
        return values.keySet().stream().filter(name -> name.indexOf('.') > 0).toList();
    }

    /** Two texts prepared with the same of these mean the same. */
    public String parsing() {
        return parsing;
    }

    /**
     * The calls that make a session with these settings one with the wanted ones; empty if it is one. A role is left first
     * and taken last: it may not be allowed to do the rest.
     */
    public Optional<String> sqlTo(Settings wanted) {
        if (equals(wanted)) {
            return Optional.empty();
        }
        List<String> calls = new ArrayList<>();
        String role = wanted.values.get(ROLE);
        boolean roleChanges = !java.util.Objects.equals(values.get(ROLE), role);
        if (roleChanges && values.containsKey(ROLE)) {
            calls.add(call(ROLE, "NULL"));
        }
        for (String name : values.keySet()) {
            if (!wanted.values.containsKey(name) && !name.equals(ROLE)) {
                calls.add(call(name, "NULL"));
            }
        }
        wanted.values.forEach((name, value) -> {
            if (!name.equals(ROLE) && !value.equals(values.get(name))) {
                calls.add(call(name, literal(value)));
            }
        });
        if (roleChanges && role != null) {
            calls.add(call(ROLE, literal(role)));
        }
        return Optional.of("SELECT " + String.join(", ", calls));
    }

    private static String call(String name, String value) {
        return "pg_catalog.set_config(" + literal(name) + ", " + value + ", false)";
    }

    /** In ASCII only, so that it means the same in every client encoding and with every setting. */
    static String literal(String value) {
        StringBuilder out = new StringBuilder(value.length() + 8).append("E'");
        value.codePoints().forEach(c -> {
            if (c == '\'' || c == '\\') {
                out.append('\\').append((char) c);
            } else if (c >= ' ' && c < 0x7f) {
                out.append((char) c);
            } else {
                out.append(String.format(Locale.ROOT, "\\U%08X", c));
            }
        });
        return out.append('\'').toString();
    }

    @Override
    public boolean equals(Object other) {
        return this == other
                || (other instanceof Settings settings && hash == settings.hash && values.equals(settings.values));
    }

    @Override
    public int hashCode() {
        return hash;
    }

    @Override
    public String toString() {
        return values.keySet().toString();
    }
}
