/** Serves WAL in PostgreSQL's replication protocol. */
@NullMarked
package io.spg99.nodes.safekeeper.serve;

import org.jspecify.annotations.NullMarked;
