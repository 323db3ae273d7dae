/** Object storage: names written once, never overwritten. */
@NullMarked
package io.spg99.storage.object;

import org.jspecify.annotations.NullMarked;
