/** The control plane: what a database is, who owns it, and how users manage it. */
@NullMarked
package io.spg99.lifecycle;

import org.jspecify.annotations.NullMarked;
