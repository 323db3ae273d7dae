@NullMarked
package io.spg99.lifecycle.http;

import org.jspecify.annotations.NullMarked;
