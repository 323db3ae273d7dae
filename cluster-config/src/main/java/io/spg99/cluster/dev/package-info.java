/** {@code ./spg99 dev}: the whole platform in one process on local directories. */
@NullMarked
package io.spg99.cluster.dev;

import org.jspecify.annotations.NullMarked;
