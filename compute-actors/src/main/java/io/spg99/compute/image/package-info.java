/**
 * Where the files come from that a generation starts on: the base image of a timeline, its newest snapshot, and what is read through
 * while it runs; what it leaves to the next.
 */
@NullMarked
package io.spg99.compute.image;

import org.jspecify.annotations.NullMarked;
