/** Tenants, credentials, API keys and the list of databases, in PostgreSQL. */
@NullMarked
package io.spg99.lifecycle.catalog;

import org.jspecify.annotations.NullMarked;
