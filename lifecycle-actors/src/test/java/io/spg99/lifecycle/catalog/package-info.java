@NullMarked
package io.spg99.lifecycle.catalog;

import org.jspecify.annotations.NullMarked;
