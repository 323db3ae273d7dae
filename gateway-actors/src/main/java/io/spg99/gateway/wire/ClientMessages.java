package io.spg99.gateway.wire;

import io.netty.buffer.ByteBuf;
import java.util.Map;

/** Encoders of what a client says: the Gateway towards a backend. */
public final class ClientMessages {

    private ClientMessages() {}

    /** StartupMessage of protocol 3.0. */
    public static void startup(ByteBuf out, Map<String, String> parameters) {
        int start = out.writerIndex();
        out.writeInt(0).writeInt(Protocol.VERSION_3_0);
        parameters.forEach((name, value) -> {
            ServerMessages.string(out, name);
            ServerMessages.string(out, value);
        });
        out.writeByte(0);
        ServerMessages.end(out, start);
    }

    public static void cancelRequest(ByteBuf out, int processId, int secretKey) {
        out.writeInt(16).writeInt(Protocol.CANCEL_REQUEST).writeInt(processId).writeInt(secretKey);
    }

    public static void query(ByteBuf out, String sql) {
        int start = ServerMessages.begin(out, Protocol.QUERY);
        ServerMessages.string(out, sql);
        ServerMessages.end(out, start);
    }

    /**
     * Parse.
     *
     * @param name bytes of the name
     * @param body what follows it: the text with its zero, the parameters' types
     */
    public static void parse(ByteBuf out, byte[] name, byte[] body) {
        int start = ServerMessages.begin(out, Protocol.PARSE);
        out.writeBytes(name).writeByte(0).writeBytes(body);
        ServerMessages.end(out, start);
    }

    /** Describe of a prepared statement. */
    public static void describe(ByteBuf out, byte[] name) {
        ofStatement(out, Protocol.DESCRIBE, name);
    }

    /** Close of a prepared statement. */
    public static void close(ByteBuf out, byte[] name) {
        ofStatement(out, Protocol.CLOSE, name);
    }

    private static void ofStatement(ByteBuf out, byte type, byte[] name) {
        int start = ServerMessages.begin(out, type);
        out.writeByte('S').writeBytes(name).writeByte(0);
        ServerMessages.end(out, start);
    }

    public static void flush(ByteBuf out) {
        ServerMessages.end(out, ServerMessages.begin(out, Protocol.FLUSH));
    }

    public static void terminate(ByteBuf out) {
        ServerMessages.end(out, ServerMessages.begin(out, Protocol.TERMINATE));
    }
}
