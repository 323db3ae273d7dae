/** The admin console: its commands, what they show, and how that is written. Knows nothing of connections. */
@NullMarked
package io.spg99.gateway.console;

import org.jspecify.annotations.NullMarked;
