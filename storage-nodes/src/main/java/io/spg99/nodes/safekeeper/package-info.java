/** The Safekeeper: keeps WAL; three per timeline, two of them make a commit durable. */
@NullMarked
package io.spg99.nodes.safekeeper;

import org.jspecify.annotations.NullMarked;
