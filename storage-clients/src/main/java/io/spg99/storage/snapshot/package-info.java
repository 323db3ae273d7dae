/**
 * Snapshots of a timeline's files: immutable layers of blocks, manifests that say where each block of each file is, and
 * what reads, writes, merges and deletes them in object storage. Runs no PostgreSQL and knows no actors.
 */
@NullMarked
package io.spg99.storage.snapshot;

import org.jspecify.annotations.NullMarked;
