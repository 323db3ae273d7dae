/** Who may log in to what: SCRAM-SHA-256 and the directory of tenants. */
@NullMarked
package io.spg99.gateway.login;

import org.jspecify.annotations.NullMarked;
