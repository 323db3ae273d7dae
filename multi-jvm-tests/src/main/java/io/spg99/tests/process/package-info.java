/** The platform in processes of its own, as tests and benchmarks start, ask and kill it. */
@NullMarked
package io.spg99.tests.process;

import org.jspecify.annotations.NullMarked;
