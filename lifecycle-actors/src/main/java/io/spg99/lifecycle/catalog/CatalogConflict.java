package io.spg99.lifecycle.catalog;

/** What was asked for contradicts what is there; the message says how, for users. */
public final class CatalogConflict extends RuntimeException {
    public CatalogConflict(String message) {
        super(message);
    }
}
