/**
 * Running stock PostgreSQL: its binaries, the user it runs as, one server process, its control file. Knows nothing of
 * generations; whoever needs a PostgreSQL server starts it with this.
 */
@NullMarked
package io.spg99.storage.postgres;

import org.jspecify.annotations.NullMarked;
