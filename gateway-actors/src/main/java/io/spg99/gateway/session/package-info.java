/**
 * What a client's session consists of, apart from connections: settings, prepared statements, what pins it, how it is asked
 * for and put up again on another server connection. Confined to one event loop, no I/O.
 */
@NullMarked
package io.spg99.gateway.session;

import org.jspecify.annotations.NullMarked;
