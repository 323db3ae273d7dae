package io.spg99.cluster.input;

/** Something the user must change; the message is one line that says what. */
public final class UserError extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public UserError(String message) {
        super(message);
    }
}
