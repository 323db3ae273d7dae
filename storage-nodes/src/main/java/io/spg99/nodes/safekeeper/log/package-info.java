/** A timeline's durable log: control file, segment files, record boundaries. No actors, no sockets. */
@NullMarked
package io.spg99.nodes.safekeeper.log;

import org.jspecify.annotations.NullMarked;
