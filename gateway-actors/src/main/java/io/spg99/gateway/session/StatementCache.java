package io.spg99.gateway.session;

import io.spg99.gateway.wire.Statement;
import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * The prepared texts of one pool. One that no client has is kept for the next that prepares it, as long as there is room;
 * one that a client has is kept in any case, so that it can be prepared on another server connection.
 */
public final class StatementCache {

    /** @param parsing see {@link Settings#parsing} */
    private record Key(ByteBuffer body, String parsing) {}

    private final long maxBytes;
    private final Map<Key, ServerStatement> statements = new LinkedHashMap<>(16, 0.75f, true);
    private long bytes;
    private long lastId;

    /** @param maxBytes of texts */
    public StatementCache(long maxBytes) {
        this.maxBytes = maxBytes;
    }

    /** One that nobody shares. */
    public ServerStatement own(byte[] body, int effects, long shape, Statement verdict) {
        return new ServerStatement(++lastId, body, effects, shape, verdict);
    }

    /** The shared one; to be given back by {@link #release}. Empty if there is no room for it. */
    public Optional<ServerStatement> acquire(byte[] body, String parsing, int effects, long shape, Statement verdict) {
        Key key = new Key(ByteBuffer.wrap(body), parsing);
        ServerStatement known = statements.get(key);
        if (known == null) {
            makeRoom(body.length);
            if (bytes + body.length > maxBytes) {
                return Optional.empty();
            }
            known = own(body, effects, shape, verdict);
            statements.put(key, known);
            bytes += body.length;
        }
        known.references++;
        return Optional.of(known);
    }

    public void release(ServerStatement statement) {
        statement.references--;
    }

    private void makeRoom(int wanted) {
        if (bytes + wanted <= maxBytes) {
            return;
        }
        statements.values().removeIf(statement -> {
            boolean goes = bytes + wanted > maxBytes && statement.references == 0;
            if (goes) {
                bytes -= statement.body().length;
            }
            return goes;
        });
    }
}
