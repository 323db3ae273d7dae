package io.spg99.lifecycle.model;

import java.util.Arrays;
import java.util.Optional;

/** Size of a compute, from small to large. The names are part of the public contract and of the journal. */
public enum Profile {
    L1,
    L2,
    L3,
    L4,
    L5;

    public static Optional<Profile> parse(String text) {
        return Arrays.stream(values()).filter(p -> p.name().equals(text)).findFirst();
    }
}
