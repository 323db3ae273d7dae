/** What a user gives the program, and how it is refused. */
@NullMarked
package io.spg99.cluster.input;

import org.jspecify.annotations.NullMarked;
