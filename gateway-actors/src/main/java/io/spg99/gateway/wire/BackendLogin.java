package io.spg99.gateway.wire;

import io.netty.buffer.ByteBuf;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * The messages of a backend between StartupMessage and the first ReadyForQuery. What the client is to see of them
 * (ParameterStatus, notices, ReadyForQuery) is collected; the rest is between the Gateway and the backend.
 */
public final class BackendLogin {

    /** What a backend tells at login is far below this. */
    private static final int MAX_MESSAGE = 65_536;

    private static final int MAX_COLLECTED = 262_144;

    private final FrameDecoder frames = new FrameDecoder(MAX_MESSAGE);
    private int processId;
    private int secretKey;

    public sealed interface Step {}

    /** More bytes are needed. */
    public enum Waiting implements Step {
        INSTANCE
    }

    /** The first ReadyForQuery was there. The key is for cancel requests. */
    public record LoggedIn(int processId, int secretKey) implements Step {
        @Override
        public String toString() {
            return "LoggedIn[processId=" + processId + "]";
        }
    }

    /** The backend refused. */
    public record Refused(SqlError error) implements Step {}

    /** The backend speaks something else, or wants a proof the Gateway does not have. */
    public record Unexpected(String what) implements Step {}

    /** The parameters among what was collected for the client; consumes nothing. */
    public static Map<String, String> parameters(ByteBuf collected) {
        Map<String, String> parameters = new TreeMap<>();
        ByteBuf in = collected.duplicate();
        FrameDecoder decoder = new FrameDecoder(MAX_MESSAGE);
        while (decoder.decode(in) instanceof Decoded.Message<FrameDecoder.Frame> message) {
            if (message.value().type() == Protocol.PARAMETER_STATUS) {
                ByteBuf body = message.value().body();
                Optional<String> name = BackendStream.string(body);
                Optional<String> value = BackendStream.string(body);
                name.ifPresent(key -> parameters.put(key, value.orElse("")));
            }
        }
        return parameters;
    }

    /** Consumes whole messages of {@code in}, up to the first ReadyForQuery; appends to {@code forClient}. */
    public Step feed(ByteBuf in, ByteBuf forClient) {
        while (true) {
            switch (frames.decode(in)) {
                case Decoded.Message<FrameDecoder.Frame> message -> {
                    Optional<Step> step = onFrame(message.value(), forClient);
                    if (step.isPresent()) {
                        return step.get();
                    }
                }
                case Decoded.NeedMore<FrameDecoder.Frame> more -> {
                    return Waiting.INSTANCE;
                }
                case Decoded.Malformed<FrameDecoder.Frame> malformed -> {
                    return new Unexpected(malformed.error().message());
                }
            }
        }
    }

    private Optional<Step> onFrame(FrameDecoder.Frame frame, ByteBuf forClient) {
        ByteBuf body = frame.body();
        return switch (frame.type()) {
            case Protocol.AUTHENTICATION -> onAuthentication(body);
            case Protocol.BACKEND_KEY_DATA -> onKey(body);
            case Protocol.PARAMETER_STATUS, Protocol.NOTICE_RESPONSE, Protocol.READY_FOR_QUERY ->
                collect(frame, forClient);
            case Protocol.ERROR_RESPONSE -> Optional.of(new Refused(error(body)));
            default -> Optional.of(new Unexpected("message type " + frame.type()));
        };
    }

    private static Optional<Step> onAuthentication(ByteBuf body) {
        int kind = body.readableBytes() >= Integer.BYTES ? body.readInt() : -1;
        return kind == Protocol.AUTH_OK
                ? Optional.empty()
                : Optional.of(new Unexpected("authentication request " + kind + " in place of AuthenticationOk"));
    }

    private Optional<Step> onKey(ByteBuf body) {
        if (body.readableBytes() != 2 * Integer.BYTES) {
            return Optional.of(new Unexpected("BackendKeyData of " + body.readableBytes() + " bytes"));
        }
        processId = body.readInt();
        secretKey = body.readInt();
        return Optional.empty();
    }

    private Optional<Step> collect(FrameDecoder.Frame frame, ByteBuf forClient) {
        if (forClient.readableBytes() + frame.body().readableBytes() > MAX_COLLECTED) {
            return Optional.of(new Unexpected("more than " + MAX_COLLECTED + " bytes before ReadyForQuery"));
        }
        int start = ServerMessages.begin(forClient, frame.type());
        forClient.writeBytes(frame.body());
        ServerMessages.end(forClient, start);
        return frame.type() == Protocol.READY_FOR_QUERY
                ? Optional.of(new LoggedIn(processId, secretKey))
                : Optional.empty();
    }

    static SqlError error(ByteBuf body) {
        return new SqlError(
                BackendStream.field(body, 'C'), BackendStream.field(body, 'M'), BackendStream.field(body, 'H'));
    }
}
