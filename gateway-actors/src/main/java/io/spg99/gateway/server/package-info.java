/** The listener and its connections: startup, login, and one session per client over Netty. */
@NullMarked
package io.spg99.gateway.server;

import org.jspecify.annotations.NullMarked;
