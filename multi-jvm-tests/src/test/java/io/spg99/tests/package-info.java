/** Tests of the whole: its architecture, and the platform as its users meet it. */
@NullMarked
package io.spg99.tests;

import org.jspecify.annotations.NullMarked;
