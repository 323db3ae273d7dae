/**
 * Read-through: a data directory whose relation files are filled in block by block as PostgreSQL reads them. The presence
 * map, the agent that the preloaded library asks, the port to whatever has the blocks. Knows nothing of snapshots, of
 * generations or of how PostgreSQL is started.
 */
@NullMarked
package io.spg99.storage.readthrough;

import org.jspecify.annotations.NullMarked;
