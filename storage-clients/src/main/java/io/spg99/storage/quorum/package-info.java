/** The WAL quorum: two of a timeline's three Safekeepers decide where it ends and what is durable. */
@NullMarked
package io.spg99.storage.quorum;

import org.jspecify.annotations.NullMarked;
