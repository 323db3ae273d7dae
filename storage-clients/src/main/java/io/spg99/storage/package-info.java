/** Clients of the storage servers: WAL positions, Safekeepers and their quorum, object storage. */
@NullMarked
package io.spg99.storage;

import org.jspecify.annotations.NullMarked;
