/** Tests of the autoscaler's decision. */
@NullMarked
package io.spg99.lifecycle.autoscale;

import org.jspecify.annotations.NullMarked;
