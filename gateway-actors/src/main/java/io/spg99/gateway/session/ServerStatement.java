package io.spg99.gateway.session;

import io.spg99.gateway.wire.Statement;
import java.nio.charset.StandardCharsets;

/**
 * A text that is prepared, as server connections know it: under a name of the Gateway's, shared by all clients that
 * prepared the same text under the same conditions.
 */
public final class ServerStatement {

    /** No client would choose a name that begins so. */
    public static final String PREFIX = "spg99:";

    private final byte[] name;
    /** What follows the name in a Parse message: the text, the types of parameters. */
    private final byte[] body;

    private final int effects;
    private final long shape;
    private final Statement verdict;
    int references;

    ServerStatement(long id, byte[] body, int effects, long shape, Statement verdict) {
        name = (PREFIX + Long.toHexString(id)).getBytes(StandardCharsets.US_ASCII);
        this.body = body;
        this.effects = effects;
        this.shape = shape;
        this.verdict = verdict;
    }

    /** The name on a server connection. Not to be changed. */
    @SuppressWarnings("EI_EXPOSE_REP") // Written to a buffer for every Bind: a copy each time would be waste.
    public byte[] name() {
        return name;
    }

    /** Not to be changed. */
    public byte[] body() {
        return body;
    }

    public int effects() {
        return effects;
    }

    public long shape() {
        return shape;
    }

    public Statement verdict() {
        return verdict;
    }
}
