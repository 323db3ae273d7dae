/** The conversation between a Gateway and a database about the right to use its writer. */
@NullMarked
package io.spg99.gateway.lease;

import org.jspecify.annotations.NullMarked;
