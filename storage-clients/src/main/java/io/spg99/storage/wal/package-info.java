/** Positions in, and the lineage of, a timeline's write-ahead log. Pure values: no I/O, no actors. */
@NullMarked
package io.spg99.storage.wal;

import org.jspecify.annotations.NullMarked;
