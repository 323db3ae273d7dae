@NullMarked
package io.spg99.lifecycle.model;

import org.jspecify.annotations.NullMarked;
