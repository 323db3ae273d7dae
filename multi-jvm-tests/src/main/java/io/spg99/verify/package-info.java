/**
 * Verification: {@code ./spg99 verify …}. A deterministic simulation runs the production code that keeps the WAL rules W1 to W6
 * under one seed: virtual time, disks that crash, a network that loses and reorders. See docs/WAL-SIMULATION.md.
 */
@NullMarked
package io.spg99.verify;

import org.jspecify.annotations.NullMarked;
