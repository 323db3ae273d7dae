package io.spg99.tests.process;

import java.io.IOException;

/** Signals that Java's own process handles do not know. */
public enum ProcessSignal {
    /** Freezes: connections stay, and nothing comes from it any more. */
    STOP,
    /** Thaws. */
    CONT,
    /** Ctrl-C. */
    INT,
    KILL;

    /** Returns when it is sent; that the process is gone is no error. */
    public void send(long pid) throws IOException {
        Process kill = new ProcessBuilder("kill", "-" + name(), String.valueOf(pid))
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        try {
            kill.waitFor();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
