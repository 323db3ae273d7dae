/** The PostgreSQL in which {@code dev} keeps its journal and catalog. */
@NullMarked
package io.spg99.cluster.journal;

import org.jspecify.annotations.NullMarked;
