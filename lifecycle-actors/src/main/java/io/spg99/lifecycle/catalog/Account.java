package io.spg99.lifecycle.catalog;

import java.time.Instant;
import java.util.Optional;

/** Who pays. There is one for now. */
public record Account(
        String id,
        String plan,
        Optional<String> email,
        Optional<String> name,
        Optional<String> company,
        Instant createdAt) {

    static final String ONLY = "acc_default";
}
