/** One run of a compute over a timeline: the generation actor and what it is told. */
@NullMarked
package io.spg99.compute.generation;

import org.jspecify.annotations.NullMarked;
