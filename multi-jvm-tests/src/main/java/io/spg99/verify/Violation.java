package io.spg99.verify;

/** A rule is broken. An error, so that no production code catches it. */
final class Violation extends AssertionError {

    private static final long serialVersionUID = 1;

    Violation(String rule, String what) {
        super(rule + ": " + what);
    }

    Violation(String rule, String what, Throwable cause) {
        super(rule + ": " + what, cause);
    }
}
