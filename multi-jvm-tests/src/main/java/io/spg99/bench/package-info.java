/** Benchmarks: {@code ./spg99 bench …}. Each measures us and the alternative in one run and prints the ratio. */
@NullMarked
package io.spg99.bench;

import org.jspecify.annotations.NullMarked;
