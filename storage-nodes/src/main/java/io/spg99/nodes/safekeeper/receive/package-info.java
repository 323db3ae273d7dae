/** Follows a writer: takes its WAL by physical replication, makes it durable, says so. */
@NullMarked
package io.spg99.nodes.safekeeper.receive;

import org.jspecify.annotations.NullMarked;
