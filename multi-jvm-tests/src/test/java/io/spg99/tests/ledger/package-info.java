/** Clients that remember what they were told, and the check of what they find afterwards. */
@NullMarked
package io.spg99.tests.ledger;

import org.jspecify.annotations.NullMarked;
