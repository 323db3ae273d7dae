/** Files that survive a crash: what was written is synced, and so is the directory entry that leads to it. */
@NullMarked
package io.spg99.storage.file;

import org.jspecify.annotations.NullMarked;
