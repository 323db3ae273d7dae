/** Which Gateways use a database: the database's side of leases, and the place of pooling. */
@NullMarked
package io.spg99.gateway.pool;

import org.jspecify.annotations.NullMarked;
