/** Unix sockets for PgJDBC, which knows only {@link java.net.Socket}. */
@NullMarked
package io.spg99.storage.socket;

import org.jspecify.annotations.NullMarked;
