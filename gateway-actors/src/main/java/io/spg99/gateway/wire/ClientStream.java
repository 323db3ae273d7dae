package io.spg99.gateway.wire;

import static io.spg99.gateway.wire.Protocol.HEADER_BYTES;

import io.netty.buffer.ByteBuf;
import io.netty.util.ByteProcessor;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

/**
 * Walks the messages of a logged-in client without holding any: checks type and length, and reads the beginning of
 * those that tell {@link RequestTracker} something. The bytes go on to the backend as they came.
 */
public final class ClientStream {

    /** Names of prepared statements are compared only up to this length (PostgreSQL sets no limit). */
    private static final int MAX_NAME = 256;

    private final RequestTracker tracker;
    private final StatementScanner scanner = new StatementScanner();

    /** Header bytes of a message whose header is not complete. */
    private final byte[] header = new byte[HEADER_BYTES];

    private int headerBytes;
    private byte type;
    /** Body bytes still to come. */
    private int remaining;

    /** Zero-terminated strings to pass over before the one of interest. */
    private int stringsToSkip;

    private final byte[] name = new byte[MAX_NAME];
    private int nameLength;
    private Part part = Part.NONE;

    private enum Part {
        /** Nothing of interest in (the rest of) this message. */
        NONE,
        SKIP,
        NAME,
        TEXT
    }

    private final ByteProcessor reader = this::read;

    public ClientStream(RequestTracker tracker) {
        this.tracker = tracker;
    }

    /** True within a message: its header has passed and some of its body has not. */
    public boolean midMessage() {
        return headerBytes > 0 || remaining > 0;
    }

    /**
     * Looks at all readable bytes and consumes none.
     *
     * @return the error if they are not the protocol; they must not go on then
     */
    public Optional<SqlError> inspect(ByteBuf in) {
        int index = in.readerIndex();
        int end = in.writerIndex();
        while (index < end) {
            if (remaining > 0) {
                int bytes = Math.min(remaining, end - index);
                if (part != Part.NONE) {
                    in.forEachByte(index, bytes, reader);
                }
                index += bytes;
                remaining -= bytes;
                if (remaining == 0) {
                    messageEnds();
                }
                continue;
            }
            header[headerBytes++] = in.getByte(index++);
            if (headerBytes == HEADER_BYTES) {
                headerBytes = 0;
                Optional<SqlError> error = messageBegins();
                if (error.isPresent()) {
                    return error;
                }
            }
        }
        return Optional.empty();
    }

    private Optional<SqlError> messageBegins() {
        type = header[0];
        int length = (header[1] & 0xff) << 24 | (header[2] & 0xff) << 16 | (header[3] & 0xff) << 8 | (header[4] & 0xff);
        int max = maxLength(type);
        if (max == 0) {
            return Optional.of(SqlError.protocolViolation("invalid frontend message type " + (type & 0xff)));
        }
        if (length < Integer.BYTES || length > max) {
            return Optional.of(SqlError.protocolViolation("invalid message length"));
        }
        remaining = length - Integer.BYTES;
        nameLength = 0;
        part = switch (type) {
            case Protocol.QUERY -> Part.TEXT;
            case Protocol.PARSE -> Part.NAME;
            case Protocol.BIND -> Part.SKIP;
            default -> Part.NONE;
        };
        stringsToSkip = 1;
        scanner.reset();
        if (remaining == 0) {
            messageEnds();
        }
        return Optional.empty();
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

    /** Reads one body byte; false when the rest of the message is of no interest. */
    private boolean read(byte b) {
        switch (part) {
            case SKIP -> {
                if (b == 0 && --stringsToSkip == 0) {
                    part = Part.NAME;
                }
            }
            case NAME -> {
                if (b == 0) {
                    part = type == Protocol.PARSE ? Part.TEXT : Part.NONE;
                } else if (nameLength < MAX_NAME) {
                    name[nameLength++] = b;
                }
            }
            case TEXT -> {
                if (b != 0) {
                    scanner.accept(b);
                }
                if (b == 0 || scanner.done()) {
                    part = Part.NONE;
                }
            }
            case NONE -> {}
        }
        return part != Part.NONE;
    }

    private void messageEnds() {
        switch (type) {
            case Protocol.QUERY -> tracker.query(scanner.verdict());
            case Protocol.PARSE -> tracker.parse(name(), scanner.verdict());
            case Protocol.BIND -> tracker.bind(name());
            case Protocol.EXECUTE -> tracker.execute();
            case Protocol.FUNCTION_CALL -> tracker.functionCall();
            case Protocol.SYNC -> tracker.sync();
            case Protocol.DESCRIBE, Protocol.CLOSE -> tracker.other();
            case Protocol.COPY_DONE, Protocol.COPY_FAIL -> tracker.copyEnded();
            case Protocol.TERMINATE -> tracker.terminate();
            default -> {}
        }
    }

    private String name() {
        return new String(name, 0, nameLength, StandardCharsets.ISO_8859_1);
    }
}
