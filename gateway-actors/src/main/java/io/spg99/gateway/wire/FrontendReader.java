package io.spg99.gateway.wire;

import static io.spg99.gateway.wire.Protocol.HEADER_BYTES;

import io.netty.buffer.ByteBuf;

/**
 * Divides what a logged-in client sends into units: a message that is whole, or, of one too large to be held, its beginning
 * and parts. Consumes nothing and keeps no bytes; checks types and lengths.
 */
public final class FrontendReader {

    public enum Unit {
        NEED_MORE,
        /** One whole message. */
        MESSAGE,
        /** The beginning of a message: its header and at least {@link #HEAD_BYTES} of it (of CopyData less). */
        HEAD,
        /** More of the message that began. */
        PART,
        MALFORMED
    }

    /** A message up to this size is waited for until it is whole; drivers' statements are smaller. */
    static final int MAX_WHOLE = 65_536;

    /** The same for Parse, whose text has to be kept to prepare it again. */
    static final int MAX_WHOLE_PARSE = 1 << 20;

    /** Names of a portal and a statement come first in a message, and have to be in this much of it. */
    static final int HEAD_BYTES = 32_768;

    private byte type;
    private int length;
    /** Bytes still to come of the message under way. */
    private int remaining;
    /** The same, after the unit that is looked at. */
    private int left;

    /** Looks at what begins at {@code index}; the unit is told by {@link #type} and {@link #length}. Changes nothing. */
    public Unit next(ByteBuf in, int index) {
        int available = in.writerIndex() - index;
        if (remaining > 0) {
            if (available == 0) {
                return Unit.NEED_MORE;
            }
            length = Math.min(remaining, available);
            left = remaining - length;
            return Unit.PART;
        }
        if (available < HEADER_BYTES) {
            return available > 0 && maxLength(in.getByte(index)) == 0 ? unknown(in.getByte(index)) : Unit.NEED_MORE;
        }
        type = in.getByte(index);
        int max = maxLength(type);
        int body = in.getInt(index + 1);
        if (max == 0 || body < Integer.BYTES || body > max) {
            return max == 0 ? unknown(type) : Unit.MALFORMED;
        }
        int total = body + 1;
        if (total <= available) {
            length = total;
            left = 0;
            return Unit.MESSAGE;
        }
        boolean whole = total <= (type == Protocol.PARSE ? MAX_WHOLE_PARSE : MAX_WHOLE);
        if (type != Protocol.COPY_DATA && (whole || available < HEAD_BYTES)) {
            return Unit.NEED_MORE;
        }
        length = available;
        left = total - available;
        return Unit.HEAD;
    }

    private Unit unknown(byte unknownType) {
        type = unknownType;
        return Unit.MALFORMED;
    }

    /** The unit looked at last is dealt with. */
    public void advance() {
        remaining = left;
    }

    /** The unit looked at last ends its message. */
    public boolean ends() {
        return left == 0;
    }

    /** Of the last unit. */
    public byte type() {
        return type;
    }

    /** Bytes of the last unit, its header included. */
    public int length() {
        return length;
    }

    /** A message has begun to be passed on and has not ended. */
    public boolean midMessage() {
        return remaining > 0;
    }

    /** After MALFORMED. */
    public SqlError error() {
        return SqlError.protocolViolation(
                maxLength(type) == 0 ? "invalid frontend message type " + (type & 0xff) : "invalid message length");
    }

    /** The limits are PostgreSQL's own; zero for a type that no client sends here. */
    private static int maxLength(byte type) {
        return switch (type) {
            case Protocol.QUERY, Protocol.PARSE, Protocol.BIND, Protocol.FUNCTION_CALL, Protocol.COPY_DATA ->
                Protocol.MAX_LARGE_MESSAGE;
            case Protocol.EXECUTE,
                    Protocol.CLOSE,
                    Protocol.DESCRIBE,
                    Protocol.FLUSH,
                    Protocol.SYNC,
                    Protocol.TERMINATE,
                    Protocol.COPY_DONE,
                    Protocol.COPY_FAIL -> Protocol.MAX_SMALL_MESSAGE;
            default -> 0;
        };
    }
}
