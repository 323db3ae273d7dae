@NullMarked
package io.spg99.lifecycle.database;

import org.jspecify.annotations.NullMarked;
