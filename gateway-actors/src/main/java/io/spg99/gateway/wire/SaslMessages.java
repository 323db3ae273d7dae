package io.spg99.gateway.wire;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import java.nio.charset.StandardCharsets;

/** Decoders of the two SASL messages of a client, both of type {@code p}. */
public final class SaslMessages {

    private SaslMessages() {}

    /** SASLInitialResponse: mechanism, int32 length, data (valid only as long as the frame). */
    public record Initial(String mechanism, ByteBuf data) {
        @Override
        public String toString() {
            return "Initial[mechanism=" + mechanism + "]";
        }
    }

    public static Decoded<Initial> initial(FrameDecoder.Frame frame) {
        if (frame.type() != Protocol.PASSWORD) {
            return expectedSasl(frame);
        }
        ByteBuf body = frame.body();
        int nameBytes = body.bytesBefore((byte) 0);
        if (nameBytes < 0 || body.readableBytes() < nameBytes + 1 + Integer.BYTES) {
            return Decoded.malformed("malformed SASLInitialResponse");
        }
        String mechanism =
                body.readCharSequence(nameBytes, StandardCharsets.US_ASCII).toString();
        body.skipBytes(1);
        if (body.readInt() != body.readableBytes()) {
            return Decoded.malformed("malformed SASLInitialResponse");
        }
        return Decoded.message(new Initial(mechanism, body));
    }

    public static Decoded<byte[]> response(FrameDecoder.Frame frame) {
        return frame.type() == Protocol.PASSWORD
                ? Decoded.message(ByteBufUtil.getBytes(frame.body()))
                : expectedSasl(frame);
    }

    private static <T> Decoded<T> expectedSasl(FrameDecoder.Frame frame) {
        return Decoded.malformed("expected SASL response, got message type " + frame.type());
    }
}
