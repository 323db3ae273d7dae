package io.spg99.gateway.session;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** The startup parameter {@code options}: switches of a postgres command line. */
public final class StartupOptions {

    private StartupOptions() {}

    /**
     * The settings it asks for ({@code -c name=value}, {@code -cname=value}, {@code --name=value}); empty if there is any
     * other switch in it.
     */
    public static Optional<Map<String, String>> parse(String options) {
        Map<String, String> settings = new LinkedHashMap<>();
        List<String> words = split(options);
        for (int i = 0; i < words.size(); i++) {
            String word = words.get(i);
            String assignment;
            if (word.equals("-c")) {
                i++;
                assignment = i < words.size() ? words.get(i) : "";
            } else if (word.startsWith("-c") || word.startsWith("--")) {
                assignment = word.substring(2);
            } else {
                return Optional.empty();
            }
            int equals = assignment.indexOf('=');
            if (equals <= 0) {
                return Optional.empty();
            }
            // As PostgreSQL has it: a dash in a name is an underscore.
            String name = assignment.substring(0, equals).replace('-', '_').toLowerCase(Locale.ROOT);
            settings.put(name, assignment.substring(equals + 1));
        }
        return Optional.of(settings);
    }

    /** As PostgreSQL's pg_split_opts: white space divides, a backslash takes the next character as it is. */
    private static List<String> split(String options) {
        List<String> words = new ArrayList<>();
        StringBuilder word = new StringBuilder();
        boolean inWord = false;
        for (int i = 0; i < options.length(); i++) {
            char c = options.charAt(i);
            if (c == '\\' && i + 1 < options.length()) {
                i++;
                word.append(options.charAt(i));
                inWord = true;
            } else if (Character.isWhitespace(c)) {
                if (inWord) {
                    words.add(word.toString());
                    word.setLength(0);
                    inWord = false;
                }
            } else {
                word.append(c);
                inWord = true;
            }
        }
        if (inWord) {
            words.add(word.toString());
        }
        return words;
    }
}
