/** Computes: what a Database actor and a generation on another node say to each other is marked here. */
@NullMarked
package io.spg99.compute;

import org.jspecify.annotations.NullMarked;
