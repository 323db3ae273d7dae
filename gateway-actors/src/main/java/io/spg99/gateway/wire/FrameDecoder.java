package io.spg99.gateway.wire;

import static io.spg99.gateway.wire.Protocol.HEADER_BYTES;

import io.netty.buffer.ByteBuf;

/** Decodes whole small messages: those of a login, on either side. */
public final class FrameDecoder {

    private final int maxBytes;

    /** @param maxBytes longest message (length word included) that is waited for */
    public FrameDecoder(int maxBytes) {
        this.maxBytes = maxBytes;
    }

    /** @param body valid only as long as the buffer it was decoded from */
    public record Frame(byte type, ByteBuf body) {}

    /** Consumes one message, if it is complete. */
    public Decoded<Frame> decode(ByteBuf in) {
        if (in.readableBytes() < HEADER_BYTES) {
            return Decoded.needMore();
        }
        byte type = in.getByte(in.readerIndex());
        int length = in.getInt(in.readerIndex() + 1);
        if (length < Integer.BYTES || length > maxBytes) {
            return Decoded.malformed("invalid message length");
        }
        if (in.readableBytes() < length + 1) {
            return Decoded.needMore();
        }
        in.skipBytes(HEADER_BYTES);
        return Decoded.message(new Frame(type, in.readSlice(length - Integer.BYTES)));
    }
}
