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

    public static void terminate(ByteBuf out) {
        ServerMessages.end(out, ServerMessages.begin(out, Protocol.TERMINATE));
    }
}
