/** Tests of the verification. */
@NullMarked
package io.spg99.verify;

import org.jspecify.annotations.NullMarked;
