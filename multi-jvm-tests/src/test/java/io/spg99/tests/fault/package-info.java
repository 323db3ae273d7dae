/** Faults that no simulation has: real processes killed and frozen, links cut, disks that fail. */
@NullMarked
package io.spg99.tests.fault;

import org.jspecify.annotations.NullMarked;
