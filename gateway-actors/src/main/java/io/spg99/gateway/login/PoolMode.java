package io.spg99.gateway.login;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonValue;
import java.util.Arrays;
import java.util.Optional;

/** For how long a client keeps its server connection: what a database's clients get unless they ask for the other. */
public enum PoolMode {
    TRANSACTION("transaction"),
    SESSION("session");

    private final String word;

    PoolMode(String word) {
        this.word = word;
    }

    /** As in the API, and in {@code options=-c spg99.pool_mode=…}. */
    @JsonValue
    public String word() {
        return word;
    }

    public static Optional<PoolMode> parse(String word) {
        return Arrays.stream(values()).filter(mode -> mode.word.equals(word)).findFirst();
    }

    @JsonCreator
    static PoolMode of(String word) {
        return parse(word).orElseThrow(() -> new IllegalArgumentException("not a pool mode: " + word));
    }
}
