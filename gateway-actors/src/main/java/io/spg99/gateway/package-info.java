/** The Gateway: one TLS endpoint for every database. Knows nobody; states what it needs as ports. */
@NullMarked
package io.spg99.gateway;

import org.jspecify.annotations.NullMarked;
