package io.spg99.storage.readthrough;

import java.io.IOException;

/** Blocks that cannot be had, and asking again would not help: what is stored is damaged. */
public final class UnreadableBlocksException extends IOException {

    private static final long serialVersionUID = 1;

    public UnreadableBlocksException(String message, Throwable cause) {
        super(message, cause);
    }
}
