/**
 * The Pageserver: turns WAL into snapshots. Redo workers are stock PostgreSQL servers; everything in its directory is a cache
 * of object storage.
 */
@NullMarked
package io.spg99.nodes.pageserver;

import org.jspecify.annotations.NullMarked;
