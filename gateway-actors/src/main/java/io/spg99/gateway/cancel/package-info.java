/** Cancel requests between the Gateways of a cluster: a client's request may reach another one than its session. */
@NullMarked
package io.spg99.gateway.cancel;

import org.jspecify.annotations.NullMarked;
