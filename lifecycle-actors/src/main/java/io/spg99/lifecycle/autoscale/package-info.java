/** Which profile a database should have: a pure function of what its writer used and what its owner allows. */
@NullMarked
package io.spg99.lifecycle.autoscale;

import org.jspecify.annotations.NullMarked;
