package io.spg99.gateway.wire;

import java.util.List;
import java.util.Map;

/** The packets that have no type byte: what a client may send first. */
public sealed interface StartupPacket {

    enum SslRequest implements StartupPacket {
        INSTANCE
    }

    enum GssEncRequest implements StartupPacket {
        INSTANCE
    }

    record CancelRequest(int processId, int secretKey) implements StartupPacket {
        @Override
        public String toString() {
            return "CancelRequest[processId=" + processId + "]";
        }
    }

    /** A major version that is not ours; nothing more is known about such a packet. */
    record UnsupportedVersion(int major, int minor) implements StartupPacket {}

    /**
     * @param minor          requested minor version of protocol 3
     * @param parameters     in the client's order, without the {@code _pq_.} ones
     * @param protocolOptions names of the {@code _pq_.} parameters; none is known here
     */
    record Startup(int minor, Map<String, String> parameters, List<String> protocolOptions) implements StartupPacket {}
}
