/** The certificates with which the platform's parts know each other. */
@NullMarked
package io.spg99.storage.tls;

import org.jspecify.annotations.NullMarked;
