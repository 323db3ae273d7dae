/** What the tests of this module share: certificates, an object store, a stand-in for Safekeepers. */
@NullMarked
package io.spg99.compute.testing;

import org.jspecify.annotations.NullMarked;
