package io.spg99.lifecycle.catalog;

/** What a tenant logs in with. Never logged. */
public record Credentials(String pgUser, String password) {
    @Override
    public String toString() {
        return "Credentials[pgUser=" + pgUser + "]";
    }
}
