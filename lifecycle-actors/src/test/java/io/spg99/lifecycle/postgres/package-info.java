@NullMarked
package io.spg99.lifecycle.postgres;

import org.jspecify.annotations.NullMarked;
