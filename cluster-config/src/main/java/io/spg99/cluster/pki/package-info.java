/** The platform's own certificate authority and the certificates of its parts. */
@NullMarked
package io.spg99.cluster.pki;

import org.jspecify.annotations.NullMarked;
