/** Threads, time and waiting of blocking code, as a port. */
@NullMarked
package io.spg99.storage.thread;

import org.jspecify.annotations.NullMarked;
