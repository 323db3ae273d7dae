/** The command line. */
@NullMarked
package io.spg99.cluster.cli;

import org.jspecify.annotations.NullMarked;
