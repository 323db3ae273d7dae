/** Where the files come from that a generation starts on: the base image of a timeline; snapshots later. */
@NullMarked
package io.spg99.compute.image;

import org.jspecify.annotations.NullMarked;
