/** The control conversation with Pageservers, and how to find them. */
@NullMarked
package io.spg99.storage.pageserver;

import org.jspecify.annotations.NullMarked;
