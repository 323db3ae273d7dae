/** The client of PostgreSQL's physical replication protocol, towards a writer or a Safekeeper. */
@NullMarked
package io.spg99.storage.replication;

import org.jspecify.annotations.NullMarked;
