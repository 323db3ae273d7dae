/** What the journal keeps of a database. Class names and fields are wire format: add, never rename or move. */
@NullMarked
package io.spg99.lifecycle.database.event;

import org.jspecify.annotations.NullMarked;
