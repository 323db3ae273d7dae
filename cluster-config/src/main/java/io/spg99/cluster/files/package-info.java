/** Files that must survive: written, synced, renamed, and the directory synced. */
@NullMarked
package io.spg99.cluster.files;

import org.jspecify.annotations.NullMarked;
