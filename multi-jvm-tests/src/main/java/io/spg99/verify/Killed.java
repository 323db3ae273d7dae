package io.spg99.verify;

/** Unwinds what runs in an instance that was killed. An error, so that no production code catches it. */
final class Killed extends Error {

    private static final long serialVersionUID = 1;

    Killed() {
        super("killed", null, false, false);
    }
}
