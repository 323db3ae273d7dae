/** Values that the actor, the catalog and the HTTP API share: profiles, names, idle timeouts, what is told about a database. */
@NullMarked
package io.spg99.lifecycle.model;

import org.jspecify.annotations.NullMarked;
