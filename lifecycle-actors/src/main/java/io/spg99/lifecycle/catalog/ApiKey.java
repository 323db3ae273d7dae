package io.spg99.lifecycle.catalog;

import java.util.Set;

/** What is known of an API key; never the key itself. */
public record ApiKey(String id, String accountId, String name, String scope, Set<String> permissions) {
    public ApiKey {
        permissions = Set.copyOf(permissions);
    }
}
