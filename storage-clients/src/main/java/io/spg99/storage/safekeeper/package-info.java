/** What the world may say to a Safekeeper, and the client of the WAL it serves. */
@NullMarked
package io.spg99.storage.safekeeper;

import org.jspecify.annotations.NullMarked;
