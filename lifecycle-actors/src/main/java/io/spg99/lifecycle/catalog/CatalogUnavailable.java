package io.spg99.lifecycle.catalog;

/** The catalog's PostgreSQL cannot be asked now; the same request may succeed in a moment. */
public final class CatalogUnavailable extends RuntimeException {
    public CatalogUnavailable(String message, Throwable cause) {
        super(message, cause);
    }
}
