/** The Database actor, the lifecycle table it follows, and the ports it needs. */
@NullMarked
package io.spg99.lifecycle.database;

import org.jspecify.annotations.NullMarked;
