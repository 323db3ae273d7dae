package io.spg99.nodes.safekeeper.serve;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.codec.CorruptedFrameException;
import io.netty.handler.codec.TooLongFrameException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Decodes what a client sends after TLS is up.
 *
 * <pre>
 * startup   length u32 (itself included), protocol 3.0 u32, (name 0 value 0)*, 0
 * message   type u8, length u32 (without the type), payload
 * </pre>
 */
final class FrontendDecoder extends ByteToMessageDecoder {

    /** PostgreSQL's MAX_STARTUP_PACKET_LENGTH. */
    private static final int LONGEST_STARTUP = 10_000;

    /** Replication commands and feedback are far shorter. */
    private static final int LONGEST_MESSAGE = 16_384;

    private static final int PROTOCOL_MAJOR = 3;

    private boolean started;

    @Override
    protected void decode(ChannelHandlerContext context, ByteBuf in, List<Object> out) {
        if (started) {
            decodeMessage(in, out);
        } else {
            decodeStartup(in, out);
        }
    }

    private void decodeStartup(ByteBuf in, List<Object> out) {
        if (in.readableBytes() < 2 * Integer.BYTES) {
            return;
        }
        int length = in.getInt(in.readerIndex());
        int protocol = in.getInt(in.readerIndex() + Integer.BYTES);
        if (length < 2 * Integer.BYTES || length > LONGEST_STARTUP) {
            throw new TooLongFrameException("startup packet: length=" + length);
        }
        if (protocol >>> 16 != PROTOCOL_MAJOR) {
            throw new CorruptedFrameException("unsupported protocol: version=" + (protocol >>> 16));
        }
        if (in.readableBytes() < length) {
            return;
        }
        ByteBuf body = in.readSlice(length).skipBytes(2 * Integer.BYTES);
        Map<String, String> parameters = new LinkedHashMap<>();
        String name = string(body);
        while (!name.isEmpty()) {
            parameters.put(name, string(body));
            name = string(body);
        }
        started = true;
        out.add(new FrontendMessage.Startup(parameters));
    }

    private static void decodeMessage(ByteBuf in, List<Object> out) {
        if (in.readableBytes() < 1 + Integer.BYTES) {
            return;
        }
        int length = in.getInt(in.readerIndex() + 1);
        if (length < Integer.BYTES || length > LONGEST_MESSAGE) {
            throw new TooLongFrameException("message: length=" + length);
        }
        if (in.readableBytes() < 1 + length) {
            return;
        }
        char type = (char) in.readUnsignedByte();
        ByteBuf body = in.readSlice(length).skipBytes(Integer.BYTES);
        out.add(
                switch (type) {
                    case 'Q' -> new FrontendMessage.Query(string(body));
                    case 'd' -> feedback(body);
                    case 'c', 'f' -> FrontendMessage.CopyDone.INSTANCE;
                    case 'X' -> FrontendMessage.Terminate.INSTANCE;
                    default -> new FrontendMessage.Unsupported(type);
                });
    }

    /** 'r' and its last byte: write, flush, apply, clock u64 each, reply u8. Other feedback needs no answer. */
    private static FrontendMessage feedback(ByteBuf body) {
        boolean status = body.readableBytes() == 34 && body.getByte(body.readerIndex()) == 'r';
        return new FrontendMessage.Feedback(status && body.getByte(body.readerIndex() + 33) != 0);
    }

    private static String string(ByteBuf body) {
        int length = body.bytesBefore((byte) 0);
        if (length < 0) {
            throw new CorruptedFrameException("string without end");
        }
        String text = body.readString(length, StandardCharsets.UTF_8);
        body.skipBytes(1);
        return text;
    }
}
