/** One member of the platform: which parts run in this process, and how they are put together. */
@NullMarked
package io.spg99.cluster.node;

import org.jspecify.annotations.NullMarked;
