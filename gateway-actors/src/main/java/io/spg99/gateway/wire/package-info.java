/** PostgreSQL's frontend/backend protocol 3.0, pure: bytes in, messages or verdicts out. No I/O, no channels. */
@NullMarked
package io.spg99.gateway.wire;

import org.jspecify.annotations.NullMarked;
