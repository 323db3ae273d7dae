package io.spg99.gateway.wire;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.nio.charset.StandardCharsets;

/** Messages as bytes, for tests. */
final class Bytes {

    private Bytes() {}

    /** Text, with {@code |} for a zero byte. */
    static ByteBuf of(String text) {
        return Unpooled.buffer().writeBytes(text.replace('|', '\0').getBytes(StandardCharsets.ISO_8859_1));
    }

    static ByteBuf message(char type, String body) {
        ByteBuf bytes = of(body);
        return Unpooled.buffer()
                .writeByte(type)
                .writeInt(bytes.readableBytes() + 4)
                .writeBytes(bytes);
    }

    /** A packet without type. */
    static ByteBuf packet(int code, String body) {
        ByteBuf bytes = of(body);
        return Unpooled.buffer()
                .writeInt(bytes.readableBytes() + 8)
                .writeInt(code)
                .writeBytes(bytes);
    }

    static String text(ByteBuf bytes) {
        return bytes.toString(StandardCharsets.ISO_8859_1).replace('\0', '|');
    }
}
