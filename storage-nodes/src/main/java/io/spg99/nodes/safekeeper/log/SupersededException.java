package io.spg99.nodes.safekeeper.log;

import java.io.IOException;

/** The promise was given to a higher generation (W2). */
public final class SupersededException extends IOException {

    private final int promised;

    SupersededException(int generation, int promised) {
        super("superseded: generation=" + generation + " promised=" + promised);
        this.promised = promised;
    }

    public int promised() {
        return promised;
    }
}
